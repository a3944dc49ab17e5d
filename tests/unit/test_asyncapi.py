import json
import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from typing import Any

import pytest
from jsonschema import Draft7Validator

from photo_pipeline import __version__
from photo_pipeline.api.asyncapi import asyncapi_document
from photo_pipeline.api.openapi import openapi_document
from photo_pipeline.broker.topology import Names, Topology, build_topology
from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS
from photo_pipeline.roles import ROLES
from support.processes import ROOT

SCHEMA = ROOT / "tests/schemas/asyncapi/3.0.0-without-id.json"
DELAYS_S = (5.0, 30.0, 0.5)


def _topology(names: Names) -> Topology:
    return build_topology(names, retry_delays_s=DELAYS_S)


@cache
def _document(prefix: str = "") -> dict[str, Any]:
    names = Names(prefix)
    parsed: dict[str, Any] = json.loads(asyncapi_document(names, _topology(names)))
    return parsed


@pytest.fixture
def document() -> dict[str, Any]:
    return _document()


def _faults(document: dict[str, Any]) -> list[str]:
    validator = Draft7Validator(json.loads(SCHEMA.read_text()))
    return [
        f"{fault.json_path}: {fault.message[:300]}" for fault in validator.iter_errors(document)
    ]


@pytest.mark.parametrize("prefix", ["", "test-1."])
def test_is_valid_asyncapi(prefix: str) -> None:
    assert _faults(_document(prefix)) == []
    assert _document(prefix)["info"]["version"] == __version__


def test_the_schema_finds_what_is_wrong(document: dict[str, Any]) -> None:
    broken = json.loads(json.dumps(document))
    del broken["operations"]["api.send.exchange.photos"]["action"]
    broken["channels"]["exchange.photos"]["bindings"]["amqp"]["exchange"]["type"] = "round"
    assert len(_faults(broken)) == 2


def test_the_schema_is_the_one_its_readme_names() -> None:
    readme = SCHEMA.with_name("SOURCES.md").read_text()
    (told,) = re.findall(
        rf"^\| `{SCHEMA.name}` \| [\d,]+ \| `([0-9a-f]{{64}})` \|$", readme, re.MULTILINE
    )
    assert sha256(SCHEMA.read_bytes()).hexdigest() == told


def _references(node: Any) -> Iterator[str]:
    match node:
        case {"$ref": str(target)}:
            yield target
        case dict():
            for value in node.values():
                yield from _references(value)
        case list():
            for value in node:
                yield from _references(value)
        case _:
            pass


def _resolve(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_every_reference_leads_somewhere_and_every_part_is_used(document: dict[str, Any]) -> None:
    references = set(_references(document))
    for reference in references:
        assert _resolve(document, reference), reference
    for kind, parts in document["components"].items():
        assert {f"#/components/{kind}/{name}" for name in parts} <= references


@pytest.mark.parametrize("prefix", ["", "test-1."])
def test_has_every_exchange_and_queue_as_declared(prefix: str) -> None:
    topology = _topology(Names(prefix))
    bindings = [
        c["bindings"]["amqp"]
        for c in _document(prefix)["channels"].values()
        if "amqp" in c["bindings"]
    ]
    exchanges = [b["exchange"] for b in bindings if b["is"] == "routingKey"]
    assert {e["name"]: e["type"] for e in exchanges} == {e.name: e.kind for e in topology.exchanges}
    queues = [b for b in bindings if b["is"] == "queue" and "name" in b["queue"]]
    assert {q["queue"]["name"]: q["x-arguments"] for q in queues} == {
        q.name: dict(q.arguments) for q in topology.queues
    }
    assert {q["queue"]["name"]: q["x-bindings"] for q in queues} == {
        q.name: [{"exchange": b.exchange, "routingKey": b.key} for b in q.bindings]
        for q in topology.queues
    }


def test_a_prefix_shows_in_the_addresses_and_not_in_the_ids() -> None:
    plain, prefixed = _document(), _document("test-1.")
    assert list(plain["channels"]) == list(prefixed["channels"])
    assert list(plain["operations"]) == list(prefixed["operations"])
    assert plain["channels"]["queue.resize"]["address"] == "resize"
    assert prefixed["channels"]["queue.resize"]["address"] == "test-1.resize"


def test_tells_what_each_kind_of_channel_carries(document: dict[str, Any]) -> None:
    carried = {name: sorted(c["messages"]) for name, c in document["channels"].items()}
    assert carried["exchange.photos"] == ["repeatedOutcome", "trial", "work"]
    assert carried["exchange.photos.dead"] == ["deadOutcome", "deadWork", "malformed"]
    assert carried["queue.photos.dead.files"] == carried["exchange.photos.dead"]
    assert carried["queue.trial.answer"] == ["trialAnswer"]
    assert carried["exchange.processed_images"] == ["outcome"]
    assert carried["exchange.photo_events"] == carried["queue.feed"] == ["status"]
    assert carried["exchange.photos.retry.0.5"] == ["repeatedOutcome", "work"]
    assert carried["queue.photos.retry.0.5"] == ["repeatedOutcome", "work"]
    for stage in PIPELINE:
        assert carried[f"queue.{stage}"] == ["trial", "work"]
        assert carried[f"queue.{stage}.dead"] == ["deadWork", "malformed"]
    for name in SUBSCRIBERS:
        queue = f"queue.processed_images.{name}"
        assert carried[queue] == ["outcome", "repeatedOutcome"]
        assert carried[f"{queue}.dead"] == ["deadOutcome", "malformed"]


def test_every_role_and_every_channel_has_its_operations(document: dict[str, Any]) -> None:
    operations = document["operations"].values()
    assert {tag["name"] for o in operations for tag in o["tags"]} == set(ROLES)
    used = {(o["action"], o["channel"]["$ref"].removeprefix("#/channels/")) for o in operations}
    for name, channel in document["channels"].items():
        binding = channel["bindings"].get("amqp", {"is": "routingKey"})
        if binding["is"] == "routingKey":
            assert ("send", name) in used
        elif not name.endswith(".dead") and not name.startswith("queue.photos.retry"):
            assert ("receive", name) in used  # the others wait for their time, or for a person
    for operation in operations:
        on_channel = operation["channel"]["$ref"] + "/messages/"
        assert all(m["$ref"].startswith(on_channel) for m in operation["messages"])


def test_every_websocket_of_the_api_is_a_channel(document: dict[str, Any]) -> None:
    opened = {
        path
        for path, item in json.loads(openapi_document())["paths"].items()
        if "101" in item.get("get", {"responses": {}})["responses"]
    }
    streams = {c["address"]: c for c in document["channels"].values() if "ws" in c["bindings"]}
    assert set(streams) == opened
    assert set(streams["/ws/{id}"]["parameters"]) == {"id"}
    assert set(streams["/ws/{id}"]["bindings"]["ws"]["query"]["properties"]) == {"since"}


def test_the_schemas_say_no_word_that_draft_7_does_not_know(document: dict[str, Any]) -> None:
    text = json.dumps(document["components"]["schemas"])
    for word in ("prefixItems", "$defs", "unevaluated", "dependentRequired"):
        assert word not in text
    for schema in document["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)
