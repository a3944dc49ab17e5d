"""Traces: which events belong to the same request (W3C Trace Context)."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def trace_of(header: object) -> str:
    """Return the trace to go on with: the one in *header*, or a new one if it holds none."""
    if isinstance(header, str) and TRACEPARENT.fullmatch(header):
        return header
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


@contextmanager
def tracing(header: object) -> Iterator[None]:
    """Let ``current_trace`` return the trace of *header*, or a new one, within the block."""
    token = _current.set(trace_of(header))
    try:
        yield
    finally:
        _current.reset(token)


def current_trace() -> str | None:
    """Return the trace of what is being handled, to pass it on to other systems."""
    return _current.get()
