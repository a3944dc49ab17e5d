"""compose.yml agrees with the code; no container engine is needed."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from photo_pipeline.api.app import CUT_S
from photo_pipeline.api.health import health_routes
from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS
from photo_pipeline.metrics import Metrics
from photo_pipeline.roles import ROLES
from photo_pipeline.settings import Settings, read_settings
from support.containers import CONTAINERFILE, image_environment, read_compose, role_services
from support.processes import ROOT

SERVERS = {"rabbitmq", "mongo"}
ONE_SHOT = "mongo-set-up"
IMAGE_PORTS = {"8000", "9000"}

COMPOSE = read_compose(ROOT / "compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLE_SERVICES = role_services(SERVICES)


def _settings(service: str) -> Settings:
    """Return the settings of a role's container: those of the image, then its own."""
    return read_settings(image_environment() | SERVICES[service]["environment"])


def test_the_image_runs_as_a_user_other_than_root_by_number() -> None:
    (user,) = re.findall(r"^USER (\d+):\d+$", CONTAINERFILE, flags=re.MULTILINE)
    assert int(user) > 0
    assert {s["user"] for s in ROLE_SERVICES.values()} == {f"{user}:{user}"}
    assert f"--chown={user}:{user} /volumes" in CONTAINERFILE


def test_the_health_check_asks_a_route_at_a_port_that_is_served() -> None:
    check = (ROOT / "deploy/container/healthcheck.py").read_text()
    (path,) = re.findall(r"GET (\S+) HTTP", check)
    assert path in {route.path for route in health_routes(Metrics())}
    (port,) = re.findall(r'environ\["(\w+)"\]', check)
    assert port in image_environment()
    exposed = re.findall(r"^EXPOSE (.*)$", CONTAINERFILE, flags=re.MULTILINE)[0].split()
    assert set(exposed) == IMAGE_PORTS
    for name in ROLE_SERVICES:
        http = _settings(name).http
        assert {str(http.http_port), str(http.health_port)} == IMAGE_PORTS
        assert http.http_host == "0.0.0.0"  # noqa: S104  # it is a container's


def test_each_role_is_a_service_and_no_service_anything_else() -> None:
    assert set(SERVICES) - SERVERS - {ONE_SHOT} == set(ROLE_SERVICES)
    assert set(ROLE_SERVICES) == {"api", *PIPELINE, *SUBSCRIBERS, "reconcile"} == set(ROLES)
    for name, service in ROLE_SERVICES.items():
        assert service["command"] == ["--role", name]


def test_stages_have_replicas() -> None:
    replicas = {name: s["deploy"]["replicas"] for name, s in SERVICES.items() if s.get("deploy")}
    assert replicas == {"resize": 3, "watermark": 2, "detect": 2}


CLOSING_S = 5.0  # connections to RabbitMQ and MongoDB


@pytest.mark.parametrize("name", ROLE_SERVICES)
def test_a_role_meets_the_servers_where_they_are(name: str) -> None:
    settings = _settings(name)
    rabbitmq, mongo = SERVICES["rabbitmq"]["environment"], SERVICES[ONE_SHOT]["environment"]
    user, password = rabbitmq["RABBITMQ_DEFAULT_USER"], rabbitmq["RABBITMQ_DEFAULT_PASS"]
    assert settings.broker.amqp_url == f"amqp://{user}:{password}@rabbitmq:5672/"
    script = (ROOT / "deploy/compose/mongo-set-up.js").read_text()
    told = dict(re.findall(r'const (\w+) = "(.*)";', script))
    assert settings.store.mongo_url == (
        f"mongodb://{told['USER']}:{mongo['MONGO_PASSWORD']}@{told['HOST']}/{told['DATABASE']}"
        f"?replicaSet={told['SET']}"
    )
    root = SERVICES["mongo"]["environment"]["MONGO_INITDB_ROOT_PASSWORD"]
    assert mongo["MONGO_ROOT_PASSWORD"] == root
    assert told["SET"] in SERVICES["mongo"]["command"]
    assert "guest" not in settings.broker.amqp_url


@pytest.mark.parametrize("name", ROLE_SERVICES)
def test_a_role_writes_where_a_volume_is_mounted(name: str) -> None:
    settings, service = _settings(name), SERVICES[name]
    mounted = {f"file://{v['target']}": v["source"] for v in service["volumes"]}
    assert mounted[settings.store.storage_url] == "photos"
    if settings.archive.archive_url is not None:
        assert mounted[settings.archive.archive_url] == "archive"
    assert (settings.archive.archive_url is not None) is (name == "archive")
    made = re.findall(r"mkdir -m 0750 (.*)", CONTAINERFILE)[0].split()
    assert {Path(target).name for target in mounted} <= {Path(folder).name for folder in made}


@pytest.mark.parametrize("name", ROLE_SERVICES)
def test_a_role_has_time_to_finish(name: str) -> None:
    grace_s = int(re.fullmatch(r"(\d+)s", SERVICES[name]["stop_grace_period"])[1])  # type: ignore[index]
    assert grace_s >= _settings(name).process.shutdown_grace_s + 2 * CUT_S + CLOSING_S


@pytest.mark.parametrize("name", PIPELINE)
def test_a_stage_may_reach_its_own_memory_limit_first(name: str) -> None:
    work = _settings(name).work
    room = int(SERVICES[name]["mem_limit"]) - work.concurrency * work.stage_memory_bytes
    assert room >= 2 * _settings("api").http.max_upload_bytes


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_bounded_and_confined(name: str) -> None:
    service = SERVICES[name]
    assert int(service["mem_limit"]) > 0
    assert 0 < service["cpus"] <= 1, "a machine with one CPU refuses more"
    assert service["pids_limit"] > 0
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] not in ("", "0", "root")
    assert any(mount.startswith("/tmp:") for mount in service["tmpfs"])  # noqa: S108
    assert service["restart"] == ("no" if name == ONE_SHOT else "unless-stopped")
    if name in SERVERS:
        assert service["healthcheck"]["test"]
    elif name != ONE_SHOT:
        assert "healthcheck" not in service, "the image's own"


def test_what_depends_waits_for_the_servers() -> None:
    for service in ROLE_SERVICES.values():
        conditions = {name: d["condition"] for name, d in service["depends_on"].items()}
        assert conditions == {
            "rabbitmq": "service_healthy",
            ONE_SHOT: "service_completed_successfully",
        }


def test_nothing_but_api_and_management_is_published() -> None:
    published = {
        (name, port["target"], port["published"], port.get("host_ip"))
        for name, service in SERVICES.items()
        for port in service.get("ports", [])
    }
    assert published == {
        ("api", 8000, "8000", None),
        ("rabbitmq", 15672, "15672", "127.0.0.1"),
    }


def test_stages_have_no_way_out() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    outside = {name for name, s in SERVICES.items() if "outside" in s["networks"]}
    assert outside == {"api", "notify", "rabbitmq"}


def test_what_servers_keep_is_in_named_volumes() -> None:
    assert set(COMPOSE["volumes"]) == {"photos", "archive", "rabbitmq", "mongo"}
    mounted = {
        (v["source"], v["target"])
        for name in SERVERS
        for v in SERVICES[name]["volumes"]
        if v["type"] == "volume"
    }
    assert mounted == {("rabbitmq", "/var/lib/rabbitmq"), ("mongo", "/data/db")}


def test_what_is_mounted_from_here_exists() -> None:
    mounted = [v for s in SERVICES.values() for v in s.get("volumes", []) if v["type"] == "bind"]
    assert len(mounted) == 2
    for mount in mounted:
        assert Path(mount["source"]).is_file()
        assert mount["read_only"] is True


def test_one_image_serves_all_roles_and_is_built_once() -> None:
    (image,) = {service["image"] for service in ROLE_SERVICES.values()}
    assert image.startswith("localhost/"), "nobody else's image may be pulled in its place"
    built = [name for name, service in SERVICES.items() if "build" in service]
    assert built == ["api"]
    assert SERVICES["api"]["build"]["dockerfile"] == "Containerfile"


def test_the_broker_stays_within_its_container() -> None:
    lines = (ROOT / "deploy/compose/rabbitmq.conf").read_text()
    (watermark,) = re.findall(
        r"^vm_memory_high_watermark.absolute = (\d+)MiB$", lines, re.MULTILINE
    )
    assert int(watermark) * 2**20 < int(SERVICES["rabbitmq"]["mem_limit"])


def test_passwords_are_taken_from_the_environment() -> None:
    text = (ROOT / "compose.yml").read_text()
    variables = set(re.findall(r"\$\{(\w*PASSWORD):-", text))
    assert variables == {"RABBITMQ_PASSWORD", "MONGO_PASSWORD", "MONGO_ROOT_PASSWORD"}
    for variable in variables:
        defaults = set(re.findall(rf"\$\{{{variable}:-(.*?)\}}", text))
        assert len(defaults) == 1, f"{variable} has two defaults"
        assert f"{variable}=…" in text, "how to change it"
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_the_override_of_the_check_fits() -> None:
    merged = read_compose(ROOT / "compose.yml", ROOT / "tests/containers/amqp.yml")
    ports = {(p["target"], p.get("host_ip")) for p in merged["services"]["rabbitmq"]["ports"]}
    assert ports == {(15672, "127.0.0.1"), (5672, "127.0.0.1")}


def test_yaml_says_nothing_twice() -> None:
    """Compose takes the last of two equal keys without a word."""

    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
            keys = [k.value for k, _ in node.value if k.tag != "tag:yaml.org,2002:merge"]
            assert len(keys) == len(set(keys)), node.start_mark
            return super().construct_mapping(node, deep)

    assert yaml.load((ROOT / "compose.yml").read_text(), Strict)  # noqa: S506
