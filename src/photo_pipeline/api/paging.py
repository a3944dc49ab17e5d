"""Lists in pages: how long one is, and where the next one is."""

import re
from typing import Final
from urllib.parse import urlencode

from aiohttp import hdrs, web

from photo_pipeline.errors import InvalidRequestError

DEFAULT_PAGE: Final = 50
LONGEST_PAGE: Final = 200
_PHOTO_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER: Final = re.compile(r"[0-9]{1,4}")


def page_limit(request: web.Request) -> int:
    """Return how many entries are wanted; raise InvalidRequestError if that is no such number."""
    value = request.query.get("limit", str(DEFAULT_PAGE))
    limit = int(value) if _NUMBER.fullmatch(value) else 0
    if not 1 <= limit <= LONGEST_PAGE:
        raise InvalidRequestError(f"limit must be a number, 1 to {LONGEST_PAGE}")
    return limit


def page_cursor(request: web.Request) -> str | None:
    """Return the photo id behind which a list goes on; raise InvalidRequestError if it is none."""
    value = request.query.get("cursor")
    if value is not None and not _PHOTO_ID.fullmatch(value):
        raise InvalidRequestError("cursor must be the next_cursor of an earlier page")
    return value


def page_headers(request: web.Request, path: str, cursor: str | None) -> dict[str, str]:
    """Return the headers of a page of *path*, after which *cursor* leads on."""
    headers = {hdrs.CACHE_CONTROL: "no-cache"}
    if cursor is not None:
        query = urlencode({**request.query, "cursor": cursor})
        headers[hdrs.LINK] = f'<{path}?{query}>; rel="next"'  # RFC 8288
    return {str(name): value for name, value in headers.items()}
