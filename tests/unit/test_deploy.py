"""The manifests: whole, valid, and free of what must not be in a repository."""

import hashlib
import re
import subprocess
from typing import Any, Final
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from photo_pipeline.settings import read_settings
from support.crd import SCHEMAS, faults, schema_file
from support.manifests import (
    DEPLOY,
    OVERLAYS,
    PRODUCTION,
    RENDERED,
    SINGLE_NODE,
    named,
    of_kind,
    render,
    strings,
    workloads,
)

KUBERNETES: Final = ("1.33", "1.37")
"""The oldest version that we say we run on (deploy/README.md), and the newest known."""

# The Prometheus operator's; tests/unit/test_deploy_monitoring.py looks at them itself.
NO_SCHEMA: Final = frozenset({"PodMonitor", "ServiceMonitor", "PrometheusRule"})

# Made by an operator, or by hand before: deploy/README.md says which.
SECRETS: Final = {
    "base": {"photo-pipeline": {"amqp-url", "mongo-url"}},
    SINGLE_NODE: {},
    PRODUCTION: {
        "rabbitmq-default-user": {"connection_string"},
        "mongodb-photo-pipeline": {"connectionString.standard"},
        "mongodb-password": {"password"},
        "photos-tls": {"tls.crt", "tls.key"},
    },
}
OPTIONAL_SECRETS: Final = {"photo-webhooks": {"urls", "secret"}}


def _is_custom(thing: Any) -> bool:
    group = thing["apiVersion"].rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def _made_secret() -> dict[str, str]:
    run = subprocess.run([DEPLOY / SINGLE_NODE / "make-secret"], capture_output=True, check=True)
    secret = yaml.safe_load(run.stdout)
    kubernetes_validate.validate(secret, KUBERNETES[-1], strict=True)
    assert secret["metadata"] == {"name": "photo-pipeline", "namespace": "photo-pipeline"}
    values: dict[str, str] = secret["stringData"]
    return values


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("folder", RENDERED)
def test_core_objects_are_valid(folder: str, version: str) -> None:
    things = [thing for thing in render(folder) if not _is_custom(thing)]
    assert len(things) > 20
    for thing in things:
        kubernetes_validate.validate(thing, version, strict=True)


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


@pytest.mark.parametrize("folder", RENDERED)
def test_secrets_are_those_that_somebody_makes(folder: str) -> None:
    made = SECRETS[folder] or {"photo-pipeline": set(_made_secret())}
    wanted = list(_secret_keys([t for t in render(folder) if t["kind"] != "ConfigMap"]))
    assert {name for name, _ in wanted} == {*made, *OPTIONAL_SECRETS}
    for name, key in wanted:
        assert key in (made | OPTIONAL_SECRETS)[name], (name, key)


def _secret_keys(thing: Any) -> Any:
    """Yield (name, key) of every Secret that a rendered object needs."""
    if isinstance(thing, dict):
        if secret := thing.get("secret"):
            if isinstance(secret, dict):
                yield from ((secret["name"], item["key"]) for item in secret["items"])
        if ref := thing.get("secretKeyRef"):
            yield ref["name"], ref["key"]
        if ref := thing.get("passwordSecretRef"):
            yield ref["name"], ref.get("key", "password")
        for target in thing.get("secretTargetRef", []):
            yield target["name"], target["key"]
        if "hosts" in thing and "secretName" in thing:
            yield thing["secretName"], "tls.crt"
        for value in thing.values():
            yield from _secret_keys(value)
    if isinstance(thing, list):
        for value in thing:
            yield from _secret_keys(value)


@pytest.mark.parametrize("folder", RENDERED)
def test_no_credential_is_in_the_repository(folder: str) -> None:
    assert not of_kind(folder, "Secret")
    for text in (s for thing in render(folder) for s in strings(thing)):
        for url in re.findall(r"\b[a-z+]+://\S+", text):
            assert urlsplit(url).password is None, url
        assert "guest" not in text
    for workload in workloads(folder):
        for variable in (v for c in workload.containers for v in c.get("env", [])):
            if re.search(r"PASS|SECRET|TOKEN|KEY", variable["name"]):
                assert "value" not in variable, variable["name"]


def test_made_passwords_are_new_each_time_and_fit_the_urls() -> None:
    first, second = _made_secret(), _made_secret()
    same = {key for key in first if first[key] == second[key]}
    assert same == {"rabbitmq-user"}
    urls = {"PHOTO_AMQP_URL": first["amqp-url"], "PHOTO_MONGO_URL": first["mongo-url"]}
    read_settings(urls)
    amqp, mongo = urlsplit(first["amqp-url"]), urlsplit(first["mongo-url"])
    assert (amqp.username, amqp.password) == (first["rabbitmq-user"], first["rabbitmq-password"])
    assert mongo.password == first["mongodb-password"]
    services = {thing["metadata"]["name"] for thing in of_kind(SINGLE_NODE, "Service")}
    assert {amqp.hostname, mongo.hostname} <= services
    script = named(SINGLE_NODE, "ConfigMap", _scripts())["data"]
    assert f'user: "{mongo.username}"' in script["create-user.js"]
    assert f'db: "{mongo.path.strip("/")}"' in script["create-user.js"]
    assert mongo.query == "replicaSet=rs0"
    assert '_id: "rs0"' in script["replica-set.js"]


def _scripts() -> str:
    (volume,) = (
        v for w in workloads(SINGLE_NODE) for v in w.pod["volumes"] if v["name"] == "scripts"
    )
    return str(volume["configMap"]["name"])
