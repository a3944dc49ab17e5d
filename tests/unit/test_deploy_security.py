"""Every pod meets the Pod Security Standard "restricted", which the namespace enforces."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.manifests import OVERLAYS, RENDERED, Object, named, of_kind, roles, workloads

PLAIN_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
    *("persistentVolumeClaim", "projected", "secret"),
}


def _pods(folder: str) -> Iterator[tuple[str, Any]]:
    """Yield every pod, of ours and what we ask operators for, with the name of its owner."""
    for workload in workloads(folder):
        yield workload.name, workload.pod
    for thing in of_kind(folder, "RabbitmqCluster"):
        yield "rabbitmq", thing["spec"]["override"]["statefulSet"]["spec"]["template"]["spec"]
    for thing in of_kind(folder, "MongoDBCommunity"):
        yield "mongodb", thing["spec"]["statefulSet"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("folder", RENDERED)
def test_the_namespace_enforces_it(folder: str) -> None:
    labels = named(folder, "Namespace", "photo-pipeline")["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"


@pytest.mark.parametrize("folder", RENDERED)
def test_every_pod_meets_it(folder: str) -> None:
    pods = list(_pods(folder))
    assert len(pods) >= (8 if folder == "base" else 10)
    for owner, pod in pods:
        assert not _faults(pod), (owner, _faults(pod))


def _faults(pod: Object) -> list[str]:
    faults = [f for f in ("hostNetwork", "hostPID", "hostIPC") if pod.get(f)]
    context = pod["securityContext"]
    if context.get("runAsNonRoot") is not True:
        faults.append("runAsNonRoot")
    if not context.get("runAsUser"):
        faults.append("runAsUser is not a number above 0")
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        faults.append("seccompProfile")
    for volume in pod.get("volumes", []):
        faults += [f"volume {v}" for v in set(volume) - {"name"} - PLAIN_VOLUMES]
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        own = container["securityContext"]
        if own.get("allowPrivilegeEscalation") is not False:
            faults.append("allowPrivilegeEscalation")
        if own["capabilities"] != {"drop": ["ALL"]}:
            faults.append("capabilities")
        if own.get("privileged") or own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
            faults.append("privileged or root")
        faults += ["hostPort" for port in container.get("ports", []) if "hostPort" in port]
    return faults


@pytest.mark.parametrize("folder", RENDERED)
def test_our_pods_have_even_less(folder: str) -> None:
    for workload in workloads(folder):
        assert workload.pod["automountServiceAccountToken"] is False
        # Else a Service named photo-… becomes a PHOTO_… variable.
        assert workload.pod["enableServiceLinks"] is False
        for container in workload.containers:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert set(container["resources"]) == {"requests", "limits"}
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        for volume in workload.pod["volumes"]:
            if "emptyDir" in volume:
                assert "sizeLimit" in volume["emptyDir"], volume["name"]
        writable = {v["name"] for v in workload.pod["volumes"] if "emptyDir" in v}
        mounts = {m["mountPath"] for m in workload.main["volumeMounts"] if m["name"] in writable}
        assert "/tmp" in mounts  # noqa: S108


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_files_for_the_group_at_most(overlay: str) -> None:
    for workload in roles(overlay).values():
        (volume,) = (v for v in workload.pod["volumes"] if v["name"] == "secrets")
        assert volume["projected"]["defaultMode"] == 0o440
        (mount,) = (m for m in workload.main["volumeMounts"] if m["name"] == "secrets")
        assert mount["readOnly"] is True
