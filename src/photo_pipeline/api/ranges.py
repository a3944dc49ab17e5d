"""Which bytes an answer carries: conditional and range requests (RFC 9110, 13 and 14), decided.

A stored picture has a strong entity tag and no date, so date conditions are ignored, as the RFC
has it. Of a range only the form of one range of bytes is honoured; all else gets the whole.
"""

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web
from aiohttp.helpers import ETAG_ANY

from photo_pipeline.errors import PreconditionFailedError, RangeNotSatisfiableError

_DIGITS: Final = 15  # far beyond any file, and no number that takes long to read
_ONE_RANGE: Final = re.compile(
    rf"bytes\s*=\s*(?P<first>[0-9]{{0,{_DIGITS}}})-(?P<last>[0-9]{{0,{_DIGITS}}})\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from *start* up to *stop* of *size*; *partial* if that was asked for."""

    start: int
    stop: int
    size: int
    partial: bool


def not_modified(request: web.Request, etag: str) -> bool:
    """Return whether the client has these bytes already; raise PreconditionFailedError."""
    if request.if_match is not None and not any(
        tag.value in (etag, ETAG_ANY) and not tag.is_weak for tag in request.if_match
    ):
        raise PreconditionFailedError("the bytes are not the ones that If-Match names")
    # Weakly compared (RFC 9110, 13.1.2): a proxy that compresses makes a tag weak.
    return any(tag.value in (etag, ETAG_ANY) for tag in request.if_none_match or ())


def wanted_part(request: web.Request, etag: str, size: int) -> Part:
    """Return the part that the request asks for; raise RangeNotSatisfiableError."""
    whole = Part(0, size, size, partial=False)
    found = _ONE_RANGE.fullmatch(request.headers.get(hdrs.RANGE, ""))
    if request.method != hdrs.METH_GET or found is None:
        return whole
    if request.headers.get(hdrs.IF_RANGE, f'"{etag}"') != f'"{etag}"':
        return whole  # the client has a part of other bytes
    first, last = found["first"], found["last"]
    match bool(first), bool(last):
        case True, _:
            start, stop = int(first), min(int(last) + 1 if last else size, size)
            if last and int(last) < int(first):
                return whole  # not a range at all
        case False, True:
            start, stop = max(size - int(last), 0), size
        case _:
            return whole
    if start >= size:
        raise RangeNotSatisfiableError(size)
    return Part(start, stop, size, partial=True)
