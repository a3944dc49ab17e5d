"""The manifests: whole, valid, and free of what must not be in a repository."""

import hashlib
import re
from typing import Any, Final

import pytest

from photo_pipeline.settings import read_settings
from support.manifests import (
    OVERLAYS,
    PRODUCTION,
    RENDERED,
    named,
    of_kind,
    render,
    workloads,
)
from support.processes import ROOT
from support.schemas import LATEST, SCHEMAS, check_core, faults, schema_file

KUBERNETES: Final = ("1.33", LATEST)
"""The oldest version that we say we run on (deploy/README.md), and the newest known."""

# The Prometheus operator's; tests/unit/test_deploy_monitoring.py looks at them itself.
NO_SCHEMA: Final = frozenset({"PodMonitor", "ServiceMonitor", "PrometheusRule"})


def _is_custom(thing: Any) -> bool:
    group = thing["apiVersion"].rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("folder", RENDERED)
def test_core_objects_are_valid(folder: str, version: str) -> None:
    things = [thing for thing in render(folder) if not _is_custom(thing)]
    assert len(things) > 20
    for thing in things:
        check_core(thing, version)


@pytest.mark.parametrize("folder", RENDERED)
def test_custom_resources_are_valid(folder: str) -> None:
    things = [thing for thing in render(folder) if _is_custom(thing)]
    assert bool(things) is (folder == PRODUCTION)
    for thing in things:
        if thing["kind"] not in NO_SCHEMA:
            assert list(faults(thing)) == [], thing["metadata"]["name"]


def test_a_misspelt_field_of_a_custom_resource_is_a_fault() -> None:
    thing = dict(named(PRODUCTION, "ScaledObject", "resize"))
    thing["spec"] = {**thing["spec"], "maxReplicas": 3}
    assert any("maxReplicas" in fault for fault in faults(thing))


def test_schemas_are_what_their_sources_say() -> None:
    table = (SCHEMAS / "SOURCES.md").read_text()
    told = dict(re.findall(r"^\| `(.+?\.json)` .* `([0-9a-f]{64})` \|$", table, flags=re.MULTILINE))
    here = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in SCHEMAS.glob("*.json")
    }
    assert here == told
    used = {schema_file(t).name for t in render(PRODUCTION) if schema_file(t).exists()}
    assert used == set(here)


@pytest.mark.parametrize("folder", RENDERED)
def test_everything_is_in_the_one_namespace(folder: str) -> None:
    for thing in render(folder):
        if thing["kind"] != "Namespace":
            assert thing["metadata"]["namespace"] == "photo-pipeline", thing["metadata"]["name"]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_images_have_a_version(folder: str) -> None:
    images = {c["image"] for w in workloads(folder) for c in w.containers}
    images |= {c["spec"]["image"] for c in of_kind(folder, "RabbitmqCluster")}
    assert len(images) >= 2
    for image in images:
        assert re.search(r":\d[\w.-]*$", image), image


@pytest.mark.parametrize("folder", RENDERED)
def test_what_is_referred_to_exists(folder: str) -> None:
    claims, maps = (
        {thing["metadata"]["name"] for thing in of_kind(folder, kind)}
        for kind in ("PersistentVolumeClaim", "ConfigMap")
    )
    for workload in workloads(folder):
        for volume in workload.pod.get("volumes", []):
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps


def test_rabbitmq_has_the_consumer_timeout_that_the_roles_reckon_with() -> None:
    files = [
        ROOT / "deploy/overlays/single-node/rabbitmq/20-photo-pipeline.conf",
        ROOT / "deploy/overlays/production/servers/rabbitmq.yaml",
    ]
    reckoned_ms = f"{read_settings({}).work.consumer_timeout_s * 1000:.0f}"
    for file in files:
        told = re.findall(r"^\s*consumer_timeout = (\d+)$", file.read_text(), re.MULTILINE)
        assert told == [reckoned_ms], file
