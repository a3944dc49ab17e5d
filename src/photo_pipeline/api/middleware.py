"""What surrounds every request: request id, problem details, metrics, one log line."""

import time
from typing import Final
from uuid import uuid4

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from photo_pipeline.api.keys import METRICS
from photo_pipeline.api.problems import problem_of

log = structlog.get_logger()

REQUEST_ID: Final = "X-Request-ID"
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds
_ID: Final = web.RequestKey("id", str)
_ANSWERED: Final = web.RequestKey("answered", bool)

_SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "cross-origin",  # pictures are made to be embedded
}


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer problems as problem details, count the request and log it."""
    request_id = request.headers.get(REQUEST_ID, "")[:64] or uuid4().hex
    request[_ID] = request_id
    started = time.perf_counter()
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001  # told as a problem, never a bare 500
            response = problem_of(request, error)
            if request.get(_ANSWERED) and request.transport is not None:
                # Behind an answer that has begun, it would be taken for the rest of that.
                log.warning("http.cut", path=request.path, error=str(error) or repr(error))
                request.transport.abort()
        _count(request, response, time.perf_counter() - started)
    return response


def _count(request: web.Request, response: web.StreamResponse, seconds: float) -> None:
    # The pattern, not the path: one series per route, not one per photo.
    resource = request.match_info.route.resource
    route = resource.canonical.rstrip("/") or "/" if resource is not None else "unknown"
    metrics = request.app[METRICS]
    metrics.http_requests.labels(request.method, route, response.status).inc()
    if not isinstance(response, web.WebSocketResponse):
        metrics.http_seconds.labels(request.method, route).observe(seconds)
    tell = log.debug if request.path in _QUIET else log.info
    tell(
        "http.request",
        method=request.method,
        path=request.path,
        status=response.status,
        ms=round(seconds * 1000, 1),
    )


async def set_common_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set on every answer just before it goes out, files and streams included."""
    request[_ANSWERED] = True
    if _ID in request:  # an unknown Expect is refused before any middleware
        response.headers[REQUEST_ID] = request[_ID]
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
