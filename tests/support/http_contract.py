"""The OpenAPI document as a judge of every answer that a test gets."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from openapi_core.protocols import Request
from openapi_core.templating.paths.exceptions import (
    OperationNotFound,
    PathNotFound,
    ServerNotFound,
)
from openapi_core.templating.paths.finders import APICallPathFinder

from photo_pipeline.api.openapi import openapi_document

PROBLEM_JSON = "application/problem+json"
OPEN_METRICS = "application/openmetrics-text"
HOST = "http://localhost"
SWITCHING = 101
ENDLESS = ("text/event-stream",)  # reading such a body would never end


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as openapi-core likes to have it."""

    method: str
    path: str
    host_url: str = HOST
    content_type: str = ""
    body: bytes | None = None
    parameters: RequestParameters = field(default_factory=RequestParameters)

    @property
    def url(self) -> str:
        """The whole of it."""
        return f"{self.host_url}{self.path}"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as openapi-core likes to have it."""

    status_code: int
    headers: Mapping[str, str]
    content_type: str
    data: bytes | None

    @property
    def mime(self) -> str:
        """The content type without its parameters."""
        return self.content_type.partition(";")[0].strip()


@dataclass(frozen=True, slots=True)
class HttpContract:
    """The document; ``seen`` are the operations' ids with each status that was answered."""

    document: dict[str, Any]
    openapi: OpenAPI
    seen: set[tuple[str, int]] = field(default_factory=set)

    def check(self, method: str, path: str, answer: Answered) -> None:
        """Fail unless the document tells of such an answer; what it is not about passes."""
        # HEAD is answered as GET is, without a body.
        asked = Asked("get" if method == "HEAD" else method.lower(), self._spelled(path))
        try:
            found = APICallPathFinder(self.openapi.spec).find(asked.method, asked.url)
            self._check(found.operation.read_value(), asked, answer, bodiless=method == "HEAD")
        except (PathNotFound, ServerNotFound):
            return
        except OperationNotFound:
            assert answer.status_code == 405, (method, path, answer)
            assert json.loads(answer.data or b"{}")["code"] == "method_not_allowed"
        except OpenAPIError as error:
            told = "\n".join(_causes(error))
            raise AssertionError(f"{method} {path} → {answer.status_code}:\n{told}") from None

    def _spelled(self, path: str) -> str:
        """Return *path* with the trailing slash that the document gives it: it never matters."""
        bare = path.rstrip("/")
        return f"{bare}/" if f"{bare}/" in self.document["paths"] else bare

    def _check(
        self, operation: dict[str, Any], asked: Asked, answer: Answered, *, bodiless: bool
    ) -> None:
        name = operation["operationId"]
        described = operation["responses"].get(str(answer.status_code))
        assert described is not None, f"{name} tells nothing of {answer.status_code}: {answer}"
        headers = described.get("headers", {})
        missing = [h for h, told in headers.items() if told["required"] and h not in answer.headers]
        assert not missing, f"{name} tells of {missing} at {answer.status_code}"
        if "content" not in described:
            assert not answer.data, f"{name} tells of no body at {answer.status_code}"
        else:
            schema = _schema_for(described["content"], answer.mime)
            assert schema is not None, f"{name} tells of no {answer.mime}"
            if not bodiless and answer.mime not in ENDLESS and schema.get("format") != "binary":
                self.openapi.validate_response(cast("Request", asked), answer)
        self.seen.add((name, answer.status_code))


def _schema_for(content: dict[str, Any], mime: str) -> dict[str, Any] | None:
    schemas = (body["schema"] for kind, body in content.items() if fnmatch(mime, kind))
    return next(schemas, None)


def _causes(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield str(error)[:500]
        yield from (f"  {each.message[:500]}" for each in getattr(error, "schema_errors", ()))
        error = error.__cause__


def _text(body: bytes, **_parameters: str) -> str:
    return body.decode()


@cache
def http_contract() -> HttpContract:
    """Return the one contract of all tests in this process."""
    document = json.loads(openapi_document())
    config = Config(
        extra_media_type_deserializers={PROBLEM_JSON: json.loads, OPEN_METRICS: _text},
        # What the document does not tell must not be answered: both are of the same version.
        additional_properties_default_policy="forbid",
    )
    return HttpContract(document, OpenAPI.from_dict(document, config=config))


def checking(contract: HttpContract) -> aiohttp.TraceConfig:
    """Return what makes a client session check each of its answers."""

    async def on_request_end(
        _: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        answer = params.response
        upgraded = answer.status == SWITCHING or answer.content_type in ENDLESS
        body: Any = None if upgraded else await answer.read()
        contract.check(
            params.method,
            urlsplit(str(answer.url)).path,
            Answered(
                answer.status,
                answer.headers,
                answer.headers.get("Content-Type", "").lower(),
                body or None,
            ),
        )

    config = aiohttp.TraceConfig()
    config.on_request_end.append(on_request_end)
    return config
