"""Secrets of the manifests: none in the repository, and those referred to are made by somebody."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml

from photo_pipeline.settings import read_settings
from support.manifests import (
    DEPLOY,
    PRODUCTION,
    RENDERED,
    SINGLE_NODE,
    named,
    of_kind,
    render,
    strings,
    workloads,
)
from support.schemas import check_core

# Made by an operator, or by hand before: deploy/README.md says which.
SECRETS: Final[Mapping[str, Mapping[str, set[str]]]] = {
    "base": {"photo-pipeline": {"amqp-url", "mongo-url"}},
    SINGLE_NODE: {},
    PRODUCTION: {
        "rabbitmq-default-user": {"connection_string"},
        "mongodb-photo-pipeline": {"connectionString.standard"},
        "mongodb-password": {"password"},
        "photos-tls": {"tls.crt", "tls.key"},
    },
}
OPTIONAL_SECRETS: Final[Mapping[str, set[str]]] = {"photo-webhooks": {"urls", "secret"}}


def _made_secret() -> dict[str, str]:
    run = subprocess.run([DEPLOY / SINGLE_NODE / "make-secret"], capture_output=True, check=True)
    secret = yaml.safe_load(run.stdout)
    check_core(secret)
    assert secret["metadata"] == {"name": "photo-pipeline", "namespace": "photo-pipeline"}
    values: dict[str, str] = secret["stringData"]
    return values


@pytest.mark.parametrize("folder", RENDERED)
def test_secrets_are_those_that_somebody_makes(folder: str) -> None:
    made = SECRETS[folder] or {"photo-pipeline": set(_made_secret())}
    wanted = list(_secret_keys([t for t in render(folder) if t["kind"] != "ConfigMap"]))
    assert {name for name, _ in wanted} == {*made, *OPTIONAL_SECRETS}
    for name, key in wanted:
        assert key in {**made, **OPTIONAL_SECRETS}[name], (name, key)


def _secret_keys(thing: Any) -> Iterator[tuple[str, str]]:
    """Yield (name, key) of every Secret that a rendered object needs."""
    if isinstance(thing, dict):
        if isinstance(secret := thing.get("secret"), dict):
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
