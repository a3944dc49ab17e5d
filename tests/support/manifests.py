"""The Kubernetes manifests below deploy/, as kustomize renders them."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from support.processes import ROOT

DEPLOY: Final = ROOT / "deploy"
SINGLE_NODE: Final = "overlays/single-node"
PRODUCTION: Final = "overlays/production"
OVERLAYS: Final = (SINGLE_NODE, PRODUCTION)
RENDERED: Final = ("base", *OVERLAYS)

NAME: Final = "app.kubernetes.io/name"
COMPONENT: Final = "app.kubernetes.io/component"
PIPELINE_POD: Final = {NAME: "photo-pipeline"}

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment or StatefulSet of ours, and its pods."""

    manifest: Object

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def labels(self) -> Mapping[str, str]:
        labels: Mapping[str, str] = self.manifest["spec"]["template"]["metadata"]["labels"]
        return labels

    @property
    def pod(self) -> Object:
        pod: Object = self.manifest["spec"]["template"]["spec"]
        return pod

    @property
    def containers(self) -> list[Object]:
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    @property
    def main(self) -> Object:
        (container,) = self.pod["containers"]
        found: Object = container
        return found


@cache
def render(folder: str) -> tuple[Object, ...]:
    """Return the objects of a kustomization below deploy/."""
    kubectl = Path(sys.executable).with_name("kubectl")
    run = subprocess.run(
        [kubectl, "kustomize", DEPLOY / folder], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert not run.stderr, run.stderr  # deprecations are told here
    return tuple(yaml.safe_load_all(run.stdout))


def of_kind(folder: str, *kinds: str) -> list[Object]:
    """Return the rendered objects of these kinds."""
    return [thing for thing in render(folder) if thing["kind"] in kinds]


def named(folder: str, kind: str, name: str) -> Object:
    """Return the one rendered object of this kind and name."""
    (found,) = (thing for thing in of_kind(folder, kind) if thing["metadata"]["name"] == name)
    return found


def workloads(folder: str) -> list[Workload]:
    """Return everything that becomes pods without an operator."""
    return [Workload(thing) for thing in of_kind(folder, "Deployment", "StatefulSet")]


def roles(folder: str) -> dict[str, Workload]:
    """Return the Deployments of the roles by name."""
    return {w.name: w for w in workloads(folder) if PIPELINE_POD.items() <= w.labels.items()}


def environment(folder: str, workload: Workload, secrets: Path) -> dict[str, str]:
    """Return the variables of a role's container, with its secrets as files below *secrets*.

    Values that come from an optional Secret are left out, as if there was none.
    """
    variables: dict[str, str] = {}
    for source in workload.main.get("envFrom", []):
        variables |= named(folder, "ConfigMap", source["configMapRef"]["name"])["data"]
    mount = mount_of(workload, "secrets")
    for variable in workload.main.get("env", []):
        if "value" in variable:
            value = variable["value"]
            variables[variable["name"]] = value.replace(mount, str(secrets))
        else:
            assert variable["valueFrom"]["secretKeyRef"]["optional"], variable
    return variables


def mount_of(workload: Workload, volume: str) -> str:
    """Return where the main container has a volume."""
    (path,) = (m["mountPath"] for m in workload.main["volumeMounts"] if m["name"] == volume)
    return str(path)


def strings(thing: Any) -> Iterator[str]:
    """Yield every string in a rendered object."""
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, dict | list | tuple):
        for value in thing.values() if isinstance(thing, dict) else thing:
            yield from strings(value)
