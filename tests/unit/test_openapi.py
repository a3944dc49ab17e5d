import json
import re
from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from photo_pipeline import __version__, errors
from photo_pipeline.api.docs import docs_routes
from photo_pipeline.api.openapi import openapi_document
from photo_pipeline.api.routes import routes
from photo_pipeline.metrics import Metrics

PROBLEM_JSON = "application/problem+json"

# Kinds of failure that are met after the answer, or in a worker: no request is refused for them.
NEVER_ANSWERED = {
    errors.DecoderCrashedError.code,
    errors.SandboxUnavailableError.code,
    errors.StageTimeoutError.code,
    errors.WebhookFailedError.code,
}
# Told without an error class of our own.
PLAIN = {"bad_request", "internal", "method_not_allowed", "not_found"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(openapi_document())
    return parsed


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def bodies(operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for status, answer in operation["responses"].items():
        for content_type, body in answer.get("content", {}).items():
            yield status, content_type, body


def answered_classes() -> Iterator[type[errors.PhotoPipelineError]]:
    pending: list[type[errors.PhotoPipelineError]] = [errors.PhotoPipelineError]
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        if cls.__module__ != errors.__name__:
            continue  # the client's own: what it tells is no answer
        if cls.http_status != 500 and "code" in vars(cls) and cls.code not in NEVER_ANSWERED:
            yield cls


def test_is_valid_openapi(document: dict[str, Any]) -> None:
    faults = [str(fault) for fault in OpenAPIV31SpecValidator(document).iter_errors()]
    assert faults == []
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == __version__
    assert document["servers"] == [{"url": "/"}]


def test_has_every_route_and_no_other(document: dict[str, Any]) -> None:
    about_itself = {route.path.rstrip("/") for route in docs_routes()}
    served = {
        (route.method, re.sub(r":.*?\}", "}", route.path.rstrip("/")))
        for route in routes(Metrics())
        if route.path.rstrip("/") not in about_itself
    }
    described = {(method, path.rstrip("/")) for method, path, _ in operations(document)}
    assert described == served


def test_has_every_code_that_can_be_answered(document: dict[str, Any]) -> None:
    described = set(re.findall(r"\| `(\w+)` \|", document["info"]["description"]))
    for _, _, operation in operations(document):
        for _, content_type, body in bodies(operation):
            if content_type == PROBLEM_JSON:
                described |= set(body["examples"])
    assert described == {cls.code for cls in answered_classes()} | PLAIN


def test_tells_each_code_with_its_status(document: dict[str, Any]) -> None:
    statuses = {cls.code: cls.http_status for cls in answered_classes()}
    for _, path, operation in operations(document):
        for status, content_type, body in bodies(operation):
            if content_type == PROBLEM_JSON:
                for code, example in body["examples"].items():
                    assert example["value"]["code"] == code, path
                    assert example["value"]["status"] == int(status), path
                    assert statuses.get(code, int(status)) == int(status), path


def test_a_problem_with_503_says_when_to_try_again(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for status, content_type, _ in bodies(operation):
            if (status, content_type) == ("503", PROBLEM_JSON):
                assert "Retry-After" in operation["responses"]["503"]["headers"], path


def test_every_example_of_an_answer_fits_its_schema(document: dict[str, Any]) -> None:
    checked = 0
    for _, path, operation in operations(document):
        for status, _, body in bodies(operation):
            validator = OAS31Validator({**body["schema"], "components": document["components"]})
            values = [each["value"] for each in body.get("examples", {}).values()]
            values += [body["example"]] if "example" in body else []
            for value in values:
                assert [str(fault) for fault in validator.iter_errors(value)] == [], (path, status)
                checked += 1
    assert checked > 20


def test_nulls_of_an_example_survive(document: dict[str, Any]) -> None:
    answer = document["paths"]["/status/{id}"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["example"]["error"] is None


def test_every_operation_has_an_id_of_its_own(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_the_upload_takes_exactly_the_parts_of_the_form(document: dict[str, Any]) -> None:
    body = document["paths"]["/upload/"]["post"]["requestBody"]
    schema = body["content"]["multipart/form-data"]["schema"]
    assert set(schema["properties"]) == {"file", "preset", "focal_point", "metadata"}
    assert schema["required"] == ["file"]
    focal_point = re.compile(schema["properties"]["focal_point"]["pattern"])
    assert all(focal_point.search(point) for point in ("", "0,1", "0.5,0.25", "1.0,0"))
    assert not any(focal_point.search(point) for point in ("0.5", "2,0", "-1,0", "a,b", "1.5,0"))


def test_the_stream_is_told_with_its_frames(document: dict[str, Any]) -> None:
    operation = document["paths"]["/ws/{id}"]["get"]
    assert "101" in operation["responses"]
    assert "StatusEvent" in document["components"]["schemas"]
    told = [line for line in operation["description"].splitlines() if line.startswith("{")]
    validator = OAS31Validator(
        {**document["components"]["schemas"]["StatusEvent"], "components": document["components"]}
    )
    frames = [json.loads(line.replace("{…}", "{}")) for line in told]
    assert frames[0]["type"] == "snapshot"
    for frame in frames[1:]:
        assert [str(fault) for fault in validator.iter_errors(frame)] == []


def test_the_vendored_page_is_what_its_readme_says() -> None:
    folder = files("photo_pipeline").joinpath("web", "vendor", "swagger-ui")
    readme = folder.joinpath("README.md").read_text()
    told = dict(re.findall(r"^\| `(\S+)` \| [\d,]+ \| `([0-9a-f]{64})` \|$", readme, re.MULTILINE))
    found = {
        each.name: sha256(each.read_bytes()).hexdigest()
        for each in folder.iterdir()
        if each.name != "README.md"
    }
    assert found == told
