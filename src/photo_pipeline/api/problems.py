"""Errors as ``application/problem+json`` (RFC 9457), in one shape and with stable codes."""

import http
import json
from collections.abc import Mapping
from typing import Final

import structlog
from aiohttp import hdrs, http_exceptions, web
from multidict import istr
from pydantic import BaseModel, Field

from photo_pipeline.errors import PhotoPipelineError, RangeNotSatisfiableError, RetryableError

log = structlog.get_logger()

PROBLEM_JSON: Final = "application/problem+json"
CLIENT_GONE: Final = 499

Headers = Mapping[str, str] | Mapping[istr, str]


class Problem(BaseModel):
    """A problem detail (RFC 9457); ``code`` is stable, ``detail`` is for people."""

    type: str = Field("about:blank", description="Always about:blank: see code.")
    title: str
    status: int
    code: str
    detail: str | None = None
    instance: str | None = None


def problem_response(
    request: web.Request,
    *,
    status: int,
    code: str,
    detail: str | None = None,
    headers: Headers | None = None,
) -> web.Response:
    """Return the answer that tells a problem."""
    problem = Problem(
        title="Client Closed Request" if status == CLIENT_GONE else http.HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        instance=request.path,
    )
    response = web.Response(
        status=status,
        body=problem.model_dump_json(exclude_none=True).encode(),
        content_type=PROBLEM_JSON,
        headers=headers,
    )
    # Or a cache might keep telling it, in the place of a picture that is there by then.
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    return response


def problem_of(request: web.Request, error: Exception) -> web.Response:
    """Translate whatever a handler raised; an unforeseen error is logged and told as 500."""
    match error:
        case PhotoPipelineError():
            headers: Headers = {}
            if isinstance(error, RetryableError):
                headers = {hdrs.RETRY_AFTER: str(error.retry_after_s)}
            if isinstance(error, RangeNotSatisfiableError):
                headers = {hdrs.CONTENT_RANGE: f"bytes */{error.size}"}
            return problem_response(
                request,
                status=error.http_status,
                code=error.code,
                detail=error.message,
                headers=headers,
            )
        case web.HTTPException():
            kept = {
                name: value
                for name, value in error.headers.items()
                if name in (hdrs.ALLOW, hdrs.RETRY_AFTER)
            }
            code = error.reason.lower().replace(" ", "_")
            return problem_response(
                request, status=error.status, code=code, detail=error.text, headers=kept
            )
        case ConnectionError():
            # Nobody is there to read it; the status is the usual one for the log (nginx's 499).
            return problem_response(request, status=CLIENT_GONE, code="client_gone")
        case http_exceptions.HttpProcessingError():
            # aiohttp raises it for a malformed part while the body is being read.
            return problem_response(
                request, status=400, code="invalid_request", detail=error.message
            )
        case _:
            log.error("http.unforeseen", path=request.path, exc_info=error)
            return problem_response(
                request, status=500, code="internal", detail="See the server's log."
            )


def json_response(
    body: str | BaseModel | Mapping[str, object],
    *,
    status: int = 200,
    headers: Headers | None = None,
) -> web.Response:
    """Return *body* as JSON."""
    match body:
        case BaseModel():
            text = body.model_dump_json()
        case str():
            text = body
        case _:
            text = json.dumps(body)
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)
