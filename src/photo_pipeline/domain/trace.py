"""Traces: which events belong to the same request (W3C Trace Context)."""

import re
import secrets
from typing import Final

TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def trace_of(header: object) -> str:
    """Return the trace to go on with: the one in *header*, or a new one if it holds none."""
    if isinstance(header, str) and TRACEPARENT.fullmatch(header):
        return header
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
