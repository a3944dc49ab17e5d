"""What an answer that is no success means, and what it means to get none."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp import hdrs

from photo_pipeline.errors import PermanentError, RequestInProgressError, RetryableError

COME_BACK: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Answers that do not speak against the request itself."""

REDIRECTS: Final = range(300, 400)


class UnreachableError(RetryableError):
    """The service gives no answer."""

    code = "service_unreachable"


class NoWebSocketError(RetryableError):
    """The way to the service lets no WebSocket through."""

    code = "no_websocket"


class UnexpectedAnswerError(PermanentError):
    """The answer is none of this service's."""

    code = "unexpected_answer"


class RefusedError(PermanentError):
    """The service says no; ``problem_code`` is the code it gave."""

    code = "refused"

    def __init__(self, problem_code: str, message: str) -> None:
        super().__init__(message)
        self.problem_code = problem_code


class BusyError(RefusedError):
    """The service says: not now. ``retry_after_s`` is None where it does not say when."""

    code = "busy"
    retryable = True

    def __init__(self, problem_code: str, message: str, retry_after_s: float | None) -> None:
        super().__init__(problem_code, message)
        self.retry_after_s = retry_after_s


def refusal(
    status: int, headers: Mapping[str, str], body: bytes
) -> RefusedError | UnexpectedAnswerError:
    """Return the error that an unsuccessful answer stands for (problem details: RFC 9457)."""
    location = headers.get(hdrs.LOCATION)
    if location is not None and status in REDIRECTS:
        return UnexpectedAnswerError(f"redirected to {location}: use that address")
    code, message = _problem(status, body)
    if status in COME_BACK or code == RequestInProgressError.code:
        return BusyError(code, message, retry_after_s(headers.get(hdrs.RETRY_AFTER)))
    return RefusedError(code, message)


def _problem(status: int, body: bytes) -> tuple[str, str]:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "no known status"
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        return f"http_{status}", f"{phrase} (no problem details: is this a photo pipeline?)"
    return problem["code"], str(problem.get("detail") or problem.get("title") or phrase)


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """Parse ``Retry-After`` (RFC 9110, 10.2.3): seconds, or a date."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())


def connection_trouble(error: Exception) -> str:  # noqa: PLR0911  # a table
    """Say in a few words why there was no answer."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorDNSError():
            return f"unknown host {error.host}"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return f"TLS: {error}"
        case aiohttp.ClientOSError(errno=int(number)) if number > 0:
            return os.strerror(number).lower()
        case aiohttp.ClientConnectorError():
            return str(error.os_error)
        case aiohttp.WSServerHandshakeError():
            return f"HTTP {error.status}"
        case _:
            return str(error) or type(error).__name__
