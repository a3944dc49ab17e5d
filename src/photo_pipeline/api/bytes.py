"""Serving the bytes of photos: original and renditions."""

from typing import Final
from urllib.parse import quote

import structlog
from aiohttp import hdrs, web

from photo_pipeline.api import keys
from photo_pipeline.api.ranges import not_modified, wanted_part
from photo_pipeline.domain.document import VERSION, version
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import TERMINAL, PhotoStatus
from photo_pipeline.errors import (
    MissingBlobError,
    NotReadyError,
    PhotoDeletedError,
    UnknownRenditionError,
)
from photo_pipeline.storage.blobs import safe_name

log = structlog.get_logger()

_DAY_S: Final = 86_400
_YEAR_S: Final = 365 * _DAY_S
VERSIONED_CACHE: Final = f"public, max-age={_YEAR_S}, immutable"
PLAIN_CACHE: Final = f"public, max-age={_DAY_S}"  # another run may replace it
ORIGINAL_CACHE: Final = f"private, max-age={_YEAR_S}"  # it may hold where it was taken
OUTDATED_CACHE: Final = "no-cache"


async def get_original(request: web.Request) -> web.StreamResponse:
    """Answer the untouched upload."""
    photo = await _photo(request)
    headers = _headers(photo.content_type, photo.filename, ORIGINAL_CACHE)
    return await _serve(request, photo.original, photo.sha256, photo.bytes, headers)


async def get_rendition(request: web.Request) -> web.StreamResponse:
    """Answer a rendition; 409 while it is still being made."""
    name = request.match_info["rendition"]
    photo = await _photo(request)
    rendition = photo.rendition(name)
    if rendition is not None:
        wanted = request.query.get(VERSION)
        cache = OUTDATED_CACHE
        if wanted is None:
            cache = PLAIN_CACHE
        elif wanted == version(rendition):
            cache = VERSIONED_CACHE
        headers = _headers(rendition.content_type, rendition.key.rsplit("/", 1)[-1], cache)
        return await _serve(request, rendition.key, rendition.sha256, rendition.bytes, headers)
    if photo.status not in TERMINAL and name in request.app[keys.PLANS].renditions(photo):
        raise NotReadyError(f"rendition {name!r} is still being made")
    raise UnknownRenditionError(f"photo {photo.id} has no rendition {name!r}")


async def _photo(request: web.Request) -> Photo:
    photo = await request.app[keys.PHOTOS].get(request.match_info["id"])
    if photo.status is PhotoStatus.DELETED:
        raise PhotoDeletedError(f"photo {photo.id} was deleted")
    return photo


def _headers(content_type: str, filename: str, cache: str) -> dict[str, str]:
    return {
        hdrs.CONTENT_TYPE: content_type,
        hdrs.CACHE_CONTROL: cache,
        hdrs.ACCEPT_RANGES: "bytes",
        # A plain name for old clients, the real one for the others (RFC 6266, appendix D).
        hdrs.CONTENT_DISPOSITION: (
            f'inline; filename="{safe_name(filename)}"; '
            f"filename*=UTF-8''{quote(filename, safe='')}"
        ),
    }


async def _serve(
    request: web.Request, key: str, sha256: str, size: int, headers: dict[str, str]
) -> web.StreamResponse:
    blobs = request.app[keys.BLOBS]
    if await blobs.size(key) != size:
        log.error("blob.missing", key=key)
        raise MissingBlobError(f"{key} is gone")
    headers[hdrs.ETAG] = f'"{sha256}"'
    if not_modified(request, sha256):
        return web.Response(
            status=304, headers={n: headers[n] for n in (hdrs.ETAG, hdrs.CACHE_CONTROL)}
        )
    part = wanted_part(request, sha256, size)
    response = web.StreamResponse(status=206 if part.partial else 200, headers=headers)
    if part.partial:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {part.start}-{part.stop - 1}/{size}"
    response.content_length = part.stop - part.start
    await response.prepare(request)
    if request.method == hdrs.METH_GET:
        async for chunk in blobs.stream(key, part.start, part.stop):
            await response.write(chunk)
    await response.write_eof()
    return response
