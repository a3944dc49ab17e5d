"""What NetworkPolicies let through, decided as a cluster would."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

from support.manifests import Object

OURS: Final = "photo-pipeline"


@dataclass(frozen=True, slots=True)
class Peer:
    """A pod, or an address outside the cluster."""

    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str | None = OURS
    address: str | None = None
    ports: Mapping[str, int] = field(default_factory=dict)


def address(ip: str) -> Peer:
    """Return an address outside the cluster."""
    return Peer(namespace=None, address=ip)


def allowed(
    policies: Iterable[Object], source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Say whether *source* may open a connection to *port* of *target*."""
    policies = tuple(policies)

    def side(direction: str, own: Peer, other: Peer) -> bool:
        mine = [
            p["spec"]
            for p in policies
            if own.namespace == OURS
            and direction in p["spec"]["policyTypes"]
            and _selects(p["spec"]["podSelector"], own.labels)
        ]
        rules = [rule for spec in mine for rule in spec.get(direction.lower(), [])]
        key = "to" if direction == "Egress" else "from"
        return not mine or any(
            _reaches(rule.get(key, []), other)
            and _through(rule.get("ports", []), target, port, protocol)
            for rule in rules
        )

    return side("Egress", source, target) and side("Ingress", target, source)


def _reaches(peers: list[Any], other: Peer) -> bool:
    return not peers or any(_matches(peer, other) for peer in peers)


def _matches(peer: Any, other: Peer) -> bool:
    if block := peer.get("ipBlock"):
        if other.address is None:
            return False
        ip = ip_address(other.address)
        return ip in ip_network(block["cidr"]) and not any(
            ip in ip_network(out) for out in block.get("except", [])
        )
    if other.namespace is None:
        return False
    if "namespaceSelector" in peer:
        names = {"kubernetes.io/metadata.name": other.namespace}
        if not _selects(peer["namespaceSelector"], names):
            return False
    elif other.namespace != OURS:
        return False
    return _selects(peer.get("podSelector", {}), other.labels)


def _selects(selector: Any, labels: Mapping[str, str]) -> bool:
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In", expression
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def _through(ports: list[Any], target: Peer, port: int, protocol: str) -> bool:
    def is_it(rule: Any) -> bool:
        first = target.ports.get(rule["port"]) if isinstance(rule["port"], str) else rule["port"]
        last = rule.get("endPort", first)
        return first is not None and rule["protocol"] == protocol and first <= port <= last

    return not ports or any(is_it(rule) for rule in ports)
