"""The NetworkPolicies let through what is needed, and nothing else."""

import pytest

from photo_pipeline.roles import ROLES
from support.manifests import (
    COMPONENT,
    NAME,
    OVERLAYS,
    PIPELINE_POD,
    PRODUCTION,
    SINGLE_NODE,
    of_kind,
    roles,
    workloads,
)
from support.network import Peer, address, allowed

DNS = Peer({"k8s-app": "kube-dns"}, "kube-system")
PROMETHEUS = Peer({NAME: "prometheus"}, "monitoring")
PROXY = Peer({NAME: "ingress-nginx"}, "ingress-nginx")
KEDA = Peer({"app": "keda-operator"}, "keda")
STRANGER = Peer({NAME: "stranger"}, "default")
NEIGHBOUR = Peer({NAME: "stranger"})
RABBITMQ = Peer({NAME: "rabbitmq"}, ports={"amqp": 5672})
MONGODB = Peer({NAME: "mongodb"}, ports={"mongodb": 27017})
API_SERVER = address("10.96.0.1")
WEB = ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")
INSIDE = (
    *("10.1.2.3", "172.20.0.1", "192.168.1.1", "127.0.0.1", "100.64.0.1", "169.254.169.254"),
    *("fd00::1", "fe80::1", "::1", "::ffff:10.0.0.1", "2002:a00:1::1", "64:ff9b::a00:1"),
)


def _role(name: str) -> Peer:
    return Peer({**PIPELINE_POD, COMPONENT: name}, ports={"http": 8000, "health": 9000})


def _allowed(overlay: str, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    return allowed(of_kind(overlay, "NetworkPolicy"), source, target, port, protocol)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pods_are_those_of_the_manifests(overlay: str) -> None:
    for name, workload in roles(overlay).items():
        peer = _role(name)
        assert peer.labels.items() <= workload.labels.items()
        ports = {p["name"]: p["containerPort"] for p in workload.main["ports"]}
        assert ports.items() <= peer.ports.items()
    if overlay == SINGLE_NODE:
        servers = [w for w in workloads(overlay) if w.name in ("rabbitmq", "mongodb")]
        for workload, peer in zip(servers, (MONGODB, RABBITMQ), strict=True):
            assert peer.labels.items() <= workload.labels.items()
            assert peer.ports == {p["name"]: p["containerPort"] for p in workload.main["ports"]}
    else:
        (mongodb,) = of_kind(overlay, "MongoDBCommunity")
        labels = mongodb["spec"]["statefulSet"]["spec"]["template"]["metadata"]["labels"]
        assert MONGODB.labels.items() <= labels.items()
        (rabbitmq,) = of_kind(overlay, "RabbitmqCluster")
        # The operator labels its pods with the name of the cluster.
        assert rabbitmq["metadata"]["name"] == RABBITMQ.labels[NAME]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_role_reaches_its_servers_and_is_measured(overlay: str, role: str) -> None:
    me = _role(role)
    assert _allowed(overlay, me, RABBITMQ, 5672)
    assert _allowed(overlay, me, MONGODB, 27017)
    assert _allowed(overlay, me, DNS, 53, "UDP")
    assert _allowed(overlay, me, DNS, 53)
    assert _allowed(overlay, PROMETHEUS, me, 9000)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_role_reaches_nothing_else(overlay: str, role: str) -> None:
    me = _role(role)
    for other in (*(_role(name) for name in ROLES), STRANGER, NEIGHBOUR):
        assert not _allowed(overlay, me, other, 8000)
        assert not _allowed(overlay, me, other, 9000)
    for port in (15672, 15692, 25672, 4369):
        assert not _allowed(overlay, me, RABBITMQ, port)
    assert not _allowed(overlay, me, API_SERVER, 443)
    for ip in INSIDE:
        assert not _allowed(overlay, me, address(ip), 443), ip


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_webhooks_go_to_the_internet(overlay: str) -> None:
    for role in ROLES:
        for ip in WEB:
            assert _allowed(overlay, _role(role), address(ip), 443) is (role == "notify")
            assert _allowed(overlay, _role(role), address(ip), 80) is (role == "notify")
            assert not _allowed(overlay, _role(role), address(ip), 22)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_the_proxy_reaches_the_api_and_nobody_a_stage(overlay: str) -> None:
    assert _allowed(overlay, PROXY, _role("api"), 8000)
    assert not _allowed(overlay, PROXY, _role("api"), 9000)
    for role in ROLES:
        for source in (STRANGER, NEIGHBOUR):
            assert not _allowed(overlay, source, _role(role), 8000)
            assert not _allowed(overlay, source, _role(role), 9000)
        if role != "api":
            assert not _allowed(overlay, PROXY, _role(role), 8000)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_who_must_reaches_the_servers(overlay: str) -> None:
    for source in (STRANGER, NEIGHBOUR, PROXY, PROMETHEUS):
        assert not _allowed(overlay, source, RABBITMQ, 5672)
        assert not _allowed(overlay, source, MONGODB, 27017)
    assert not _allowed(overlay, RABBITMQ, MONGODB, 27017)
    assert _allowed(overlay, MONGODB, MONGODB, 27017)
    assert _allowed(overlay, KEDA, RABBITMQ, 5672) is (overlay == PRODUCTION)


def test_the_clusters_servers_reach_one_another_and_kubernetes() -> None:
    for port in (4369, 25672, 35672, 35682):
        assert _allowed(PRODUCTION, RABBITMQ, RABBITMQ, port)
    assert _allowed(PRODUCTION, PROMETHEUS, RABBITMQ, 15692)
    for server in (RABBITMQ, MONGODB):
        assert _allowed(PRODUCTION, server, API_SERVER, 443)
        assert not _allowed(SINGLE_NODE, server, API_SERVER, 443)


def test_the_single_node_also_takes_the_proxy_of_k3s() -> None:
    traefik = Peer({NAME: "traefik"}, "kube-system")
    assert _allowed(SINGLE_NODE, traefik, _role("api"), 8000)
    assert not _allowed(PRODUCTION, traefik, _role("api"), 8000)
