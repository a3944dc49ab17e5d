"""What the operations of the OpenAPI document are put together from."""

import http
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from openapi_pydantic import (
    DataType,
    Example,
    Header,
    MediaType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Response,
    Schema,
)
from openapi_pydantic.util import PydanticSchema
from pydantic import BaseModel

from photo_pipeline.api.middleware import REQUEST_ID
from photo_pipeline.api.openapi_examples import PHOTO_ID
from photo_pipeline.api.problems import PROBLEM_JSON, Problem
from photo_pipeline.errors import PhotoPipelineError, RequestInProgressError, RetryableError

PHOTOS: Final = "photos"
STREAM: Final = "status stream"
OPERATION: Final = "operation"
PROBES: Final = "probes"

JSON: Final = "application/json"
TEXT: Final = Schema(type=DataType.STRING)
INTEGER: Final = Schema(type=DataType.INTEGER)
BINARY: Final = Schema(type=DataType.STRING, schema_format="binary")


def header(description: str, example: str | int, *, required: bool = True) -> Header:
    """Describe a header of an answer; not *required*: of some such answers."""
    schema = INTEGER if isinstance(example, int) else TEXT
    return Header(description=description, param_schema=schema, example=example, required=required)


_ALWAYS: Final = {REQUEST_ID: header("The request's own, or a new one.", "5f2c7a")}
_PROBLEM_HEADERS: Final = {
    503: {"Retry-After": header("Try again after so many seconds.", RetryableError.retry_after_s)},
    416: {"Content-Range": header("How many bytes there are.", "bytes */214310")},
}

_HEADERS_OF_CODE: Final = {
    RequestInProgressError.code: {
        "Retry-After": header(
            f"With `{RequestInProgressError.code}`: try again after so many seconds.",
            RequestInProgressError.retry_after_s,
            required=False,
        )
    }
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of problem: the status and the code that it is told with."""

    status: int
    code: str
    meaning: str


def refusal(error: type[PhotoPipelineError]) -> Refusal:
    """Return how *error* is told."""
    return Refusal(error.http_status, error.code, error.__doc__ or error.code)


INTERNAL: Final = Refusal(500, "internal", "An error that nobody foresaw; the log has more.")
NOT_FOUND: Final = Refusal(404, "not_found", "There is nothing at this path.")
METHOD_NOT_ALLOWED: Final = Refusal(
    405, "method_not_allowed", "The path takes other methods; `Allow` names them."
)
BAD_REQUEST: Final = Refusal(400, "bad_request", "The request asks for no WebSocket.")


def answer(
    description: str,
    content: Mapping[str, MediaType] | None = None,
    headers: Mapping[str, Header] | None = None,
) -> Response:
    """Describe an answer."""
    every = {**(headers or {}), **_ALWAYS}
    if content is None:
        return Response(description=description, headers={**every})
    return Response(description=description, headers={**every}, content={**content})


def model(schema_class: type[BaseModel], example: Any) -> MediaType:
    """Describe a body by its model."""
    return MediaType(media_type_schema=reference(schema_class), example=example)


def reference(schema_class: type[BaseModel]) -> PydanticSchema[Any]:
    """Return the schema of a model; the assembled document refers to it by name."""
    return PydanticSchema(schema_class=schema_class)


def operation(
    tag: str,
    operation_id: str,
    summary: str,
    description: str,
    answers: Mapping[str, Response],
    refusals: tuple[type[PhotoPipelineError] | Refusal, ...] = (),
    *,
    parameters: tuple[Parameter, ...] = (),
    body: RequestBody | None = None,
) -> Operation:
    """Describe an operation; every one may also end with an unforeseen error."""
    told = [each if isinstance(each, Refusal) else refusal(each) for each in refusals]
    responses: dict[str, Response | Reference] = {**answers, **_problems([*told, INTERNAL])}
    described = Operation(
        tags=[tag],
        summary=summary,
        description=description,
        operationId=operation_id,
        responses=dict(sorted(responses.items())),
    )
    if parameters:
        described.parameters = [*parameters]
    if body is not None:
        described.requestBody = body
    return described


def _problems(refusals: list[Refusal]) -> dict[str, Response]:
    by_status: dict[int, list[Refusal]] = {}
    for each in refusals:
        by_status.setdefault(each.status, []).append(each)
    return {str(status): _problem(status, kinds) for status, kinds in by_status.items()}


def _problem(status: int, kinds: list[Refusal]) -> Response:
    content = MediaType(
        media_type_schema=reference(Problem),
        examples={each.code: Example(summary=each.code, value=_told(each)) for each in kinds},
    )
    headers = dict(_PROBLEM_HEADERS.get(status, {}))
    for each in kinds:
        headers |= _HEADERS_OF_CODE.get(each.code, {})
    return answer(
        "\n".join(f"- `{each.code}`: {each.meaning}" for each in kinds),
        {PROBLEM_JSON: content},
        headers,
    )


def _told(each: Refusal) -> dict[str, Any]:
    title = http.HTTPStatus(each.status).phrase
    problem = Problem(title=title, status=each.status, code=each.code, detail=each.meaning)
    return problem.model_dump(exclude_none=True)


def in_path(name: str, description: str, example: str) -> Parameter:
    """Describe a part of the path."""
    return _parameter("path", name, description, TEXT, required=True, example=example)


def in_query(name: str, description: str, schema: Schema) -> Parameter:
    """Describe an optional query parameter."""
    return _parameter("query", name, description, schema)


def in_header(name: str, description: str, example: str) -> Parameter:
    """Describe an optional request header.

    The example belongs to the schema: one of the parameter itself would be filled into the
    form of the documentation page, and sent.
    """
    schema = Schema(type=DataType.STRING, examples=[example])
    return _parameter("header", name, description, schema)


def _parameter(
    where: str, name: str, description: str, schema: Schema, **more: object
) -> Parameter:
    return Parameter.model_validate(
        {"in": where, "name": name, "description": description, "schema": schema, **more}
    )


ID: Final = in_path("id", "The photo's id, from the answer to its upload.", PHOTO_ID)
