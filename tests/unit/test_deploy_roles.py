"""The Deployments agree with the code: roles, settings, ports, probes, time and memory."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from photo_pipeline import __version__
from photo_pipeline.api.app import CUT_S
from photo_pipeline.api.following import HEARTBEAT_S
from photo_pipeline.api.health import health_routes
from photo_pipeline.broker.consume import CANCEL_TIMEOUT_S
from photo_pipeline.domain.pipeline import PIPELINE
from photo_pipeline.health import CHECK_TIMEOUT_S
from photo_pipeline.metrics import Metrics
from photo_pipeline.roles import ROLES, expand_roles
from photo_pipeline.settings import MIB, Settings, read_settings
from support.manifests import (
    OVERLAYS,
    RENDERED,
    Workload,
    environment,
    mount_of,
    named,
    of_kind,
    roles,
)

MARGIN_S: Final = 10
"""To close connections, and for a machine that is busy with ending other pods as well."""

PARENT_BYTES: Final = 256 * MIB
"""A stage's own process: 81 MiB, 149 MiB after a photo of 100 megapixels."""

UNITS: Final = {"Mi": MIB, "Gi": 1024 * MIB}


def _settings(folder: str, workload: Workload, tmp_path: Path) -> Settings:
    (tmp_path / "amqp-url").write_text("amqp://user:word@rabbitmq:5672/")
    (tmp_path / "mongo-url").write_text("mongodb://user:word@mongodb/photos?replicaSet=rs0")
    return read_settings(environment(folder, workload, tmp_path))


def _bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def _cores(quantity: str) -> float:
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


@pytest.mark.parametrize("folder", RENDERED)
def test_every_role_has_its_deployment(folder: str) -> None:
    assert set(roles(folder)) == set(ROLES)
    for name, workload in roles(folder).items():
        flag, role = workload.main["args"]
        assert (flag, expand_roles(role)) == ("--role", (name,))
        assert "command" not in workload.main  # the image's entrypoint
        selector = workload.manifest["spec"]["selector"]["matchLabels"]
        assert selector.items() <= workload.labels.items()


def test_the_base_has_the_usual_replicas() -> None:
    replicas = {name: w.manifest["spec"]["replicas"] for name, w in roles("base").items()}
    assert (replicas["resize"], replicas["watermark"], replicas["detect"]) == (3, 2, 2)


@pytest.mark.parametrize("folder", RENDERED)
def test_the_image_is_of_this_version(folder: str) -> None:
    for workload in roles(folder).values():
        assert workload.main["image"] == f"photo-pipeline:{__version__}"


@pytest.mark.parametrize("folder", RENDERED)
def test_settings_are_read_and_meet_the_pod(folder: str, tmp_path: Path) -> None:
    for name, workload in roles(folder).items():
        settings = _settings(folder, workload, tmp_path)
        ports = {p["name"]: p["containerPort"] for p in workload.main["ports"]}
        assert ports["health"] == settings.http.health_port
        assert ports.get("http") == (settings.http.http_port if name == "api" else None)
        assert settings.http.http_host == "0.0.0.0"  # noqa: S104
        assert settings.store.storage_url == f"file://{mount_of(workload, 'photos')}"
        archive = f"file://{mount_of(workload, 'archive')}" if name == "archive" else None
        assert settings.archive.archive_url == archive
        assert settings.process.log_format == "json"
        mounted = {source["path"] for source in _secret_items(workload)}
        assert mounted == {"amqp-url", "mongo-url"}


def _secret_items(workload: Workload) -> list[Any]:
    (volume,) = (v for v in workload.pod["volumes"] if v["name"] == "secrets")
    return [i for source in volume["projected"]["sources"] for i in source["secret"]["items"]]


def test_only_notify_knows_the_webhooks() -> None:
    for name, workload in roles("base").items():
        variables = {v["name"] for v in workload.main["env"]}
        wanted = {"PHOTO_WEBHOOK_URLS", "PHOTO_WEBHOOK_SECRET"} if name == "notify" else set()
        assert {v for v in variables if "WEBHOOK" in v} == wanted


@pytest.mark.parametrize("folder", RENDERED)
def test_probes_ask_what_is_served(folder: str) -> None:
    served = {route.path for route in health_routes(Metrics())}
    for workload in roles(folder).values():
        startup, live, ready = (
            workload.main[f"{p}Probe"] for p in ("startup", "liveness", "readiness")
        )
        assert {p["httpGet"]["path"] for p in (startup, live, ready)} <= served
        # A server that is away must not end a role: only its readiness asks for servers.
        assert (startup["httpGet"]["path"], live["httpGet"]["path"]) == ("/healthz", "/healthz")
        assert ready["httpGet"]["path"] == "/readyz"
        assert ready["timeoutSeconds"] > CHECK_TIMEOUT_S
        for probe in (startup, live, ready):
            assert probe["httpGet"]["port"] == "health"
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 60


@pytest.mark.parametrize("folder", RENDERED)
def test_a_pod_has_time_to_drain(folder: str, tmp_path: Path) -> None:
    for name, workload in roles(folder).items():
        grace_s = _settings(folder, workload, tmp_path).process.shutdown_grace_s
        needed_s = CANCEL_TIMEOUT_S + grace_s + MARGIN_S
        if name == "api":
            needed_s = workload.main["lifecycle"]["preStop"]["sleep"]["seconds"]
            needed_s += grace_s + 2 * CUT_S + MARGIN_S
        assert workload.pod["terminationGracePeriodSeconds"] >= needed_s


@pytest.mark.parametrize("folder", RENDERED)
def test_resources_hold_what_the_settings_allow(folder: str, tmp_path: Path) -> None:
    for name, workload in roles(folder).items():
        resources = workload.main["resources"]
        requests, limits = resources["requests"], resources["limits"]
        assert _bytes(requests["memory"]) <= _bytes(limits["memory"])
        assert _cores(requests["cpu"]) <= _cores(limits["cpu"])
        if name in PIPELINE:
            # A photo that needs too much must meet the child's own limit before the container's:
            # beyond that the kernel ends the whole container.
            work = _settings(folder, workload, tmp_path).work
            needed = work.concurrency * work.stage_memory_bytes + PARENT_BYTES
            assert _bytes(limits["memory"]) >= needed


@pytest.mark.parametrize("folder", RENDERED)
def test_replicas_are_spread_over_nodes_and_zones(folder: str) -> None:
    for workload in roles(folder).values():
        spread = workload.pod["topologySpreadConstraints"]
        assert {s["topologyKey"] for s in spread} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }
        for constraint in spread:
            assert constraint["labelSelector"]["matchLabels"].items() <= workload.labels.items()
            assert "app.kubernetes.io/component" in constraint["matchLabelKeys"]


@pytest.mark.parametrize("folder", RENDERED)
def test_the_way_in_leads_to_the_api(folder: str, tmp_path: Path) -> None:
    api = roles(folder)["api"]
    service = named(folder, "Service", "api")
    assert service["spec"]["selector"].items() <= api.labels.items()
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] in {p["name"] for p in api.main["ports"]}
    (ingress,) = of_kind(folder, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": "api", "port": {"name": port["name"]}}
    notes = {k.rpartition("/")[2]: v for k, v in ingress["metadata"]["annotations"].items()}
    assert re.fullmatch(r"\d+m", notes["proxy-body-size"])
    largest = _settings(folder, api, tmp_path).http.max_upload_bytes
    assert int(notes["proxy-body-size"][:-1]) * MIB > largest
    assert int(notes["proxy-read-timeout"]) > HEARTBEAT_S
    assert notes["proxy-request-buffering"] == notes["proxy-buffering"] == "off"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_volumes_can_be_had(overlay: str) -> None:
    for claim in of_kind(overlay, "PersistentVolumeClaim"):
        shared = overlay.endswith("production")
        mode = "ReadWriteMany" if shared else "ReadWriteOnce"
        assert claim["spec"]["accessModes"] == [mode]
        # The default class of a cluster seldom gives volumes that several nodes may write.
        assert ("storageClassName" in claim["spec"]) is shared
