"""Serving the bytes of photos: original and renditions."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import structlog
from aiohttp import hdrs, web

from photo_pipeline.api import keys
from photo_pipeline.api.ranges import Part, not_modified, wanted_part
from photo_pipeline.domain.document import VERSION, version
from photo_pipeline.domain.moderation import Verdict
from photo_pipeline.domain.photo import Photo, Rendition
from photo_pipeline.domain.stage import ORIGINAL
from photo_pipeline.domain.status import TERMINAL, PhotoStatus
from photo_pipeline.errors import (
    AwaitingDetectionError,
    HeldError,
    MissingBlobError,
    NotModeratedError,
    NotReadyError,
    PhotoDeletedError,
    UnknownRenditionError,
    WithheldError,
)
from photo_pipeline.storage.blobs import safe_name

log = structlog.get_logger()

_DAY_S: Final = 86_400
_YEAR_S: Final = 365 * _DAY_S
VERSIONED_CACHE: Final = f"public, max-age={_YEAR_S}, immutable"
PLAIN_CACHE: Final = f"public, max-age={_DAY_S}"  # another run may replace it
ORIGINAL_CACHE: Final = f"private, max-age={_YEAR_S}"  # it may hold where it was taken
OUTDATED_CACHE: Final = "no-cache"
GATED_CACHE: Final = "private, no-cache"  # a person may close the gate again
REVIEW_CACHE: Final = "private, no-store"


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A blob, and how it is told of."""

    key: str
    sha256: str
    size: int
    name: str
    content_type: str
    cache: str


async def get_original(request: web.Request) -> web.StreamResponse:
    """Answer the untouched upload."""
    return await _answer(request, _original)


async def get_rendition(request: web.Request) -> web.StreamResponse:
    """Answer a rendition; 409 while it is still being made."""
    return await _answer(request, _rendition)


async def get_reviewed(request: web.Request) -> web.StreamResponse:
    """Answer a picture of a photo that people decide about, though it is not served."""
    return await _answer(request, _reviewed)


def _reviewed(request: web.Request, photo: Photo) -> _File:
    name = request.match_info["rendition"]
    if photo.moderation is None:
        raise NotModeratedError(f"the preset {photo.preset.name!r} of the photo has no gate")
    if name == ORIGINAL:
        return _original_file(photo, REVIEW_CACHE)
    rendition = photo.rendition(name)
    if rendition is None:
        raise UnknownRenditionError(f"photo {photo.id} has no rendition {name!r}")
    return _rendition_file(rendition, REVIEW_CACHE)


def _original(_: web.Request, photo: Photo) -> _File:
    _refuse_withheld(photo, ORIGINAL, None)
    return _original_file(photo, GATED_CACHE if photo.moderation else ORIGINAL_CACHE)


def _rendition(request: web.Request, photo: Photo) -> _File:
    name = request.match_info["rendition"]
    rendition = photo.rendition(name)
    _refuse_withheld(photo, name, rendition.stage if rendition else None)
    if rendition is None:
        if photo.status not in TERMINAL and name in request.app[keys.PLANS].renditions(photo):
            raise NotReadyError(f"rendition {name!r} is still being made")
        raise UnknownRenditionError(f"photo {photo.id} has no rendition {name!r}")
    cache = _cache(request.query.get(VERSION), version(rendition))
    return _rendition_file(rendition, GATED_CACHE if photo.moderation else cache)


def _original_file(photo: Photo, cache: str) -> _File:
    return _File(
        key=photo.original,
        sha256=photo.sha256,
        size=photo.bytes,
        name=photo.filename,
        content_type=photo.content_type,
        cache=cache,
    )


def _rendition_file(rendition: Rendition, cache: str) -> _File:
    return _File(
        key=rendition.key,
        sha256=rendition.sha256,
        size=rendition.bytes,
        name=rendition.key.rsplit("/", 1)[-1],
        content_type=rendition.content_type,
        cache=cache,
    )


def _refuse_withheld(photo: Photo, name: str, stage: str | None) -> None:
    if photo.held:
        if photo.moderation and photo.moderation.verdict is Verdict.PENDING:
            raise AwaitingDetectionError(f"detection has not passed photo {photo.id} yet")
        raise HeldError(f"photo {photo.id} is held: see moderation in its status")
    if photo.withholds(name, stage):
        raise WithheldError(f"{name!r} of photo {photo.id} is not served")


def _cache(wanted: str | None, current: str) -> str:
    if wanted is None:
        return PLAIN_CACHE
    return VERSIONED_CACHE if wanted == current else OUTDATED_CACHE


async def _answer(
    request: web.Request, find: Callable[[web.Request, Photo], _File]
) -> web.StreamResponse:
    file = find(request, await _photo(request))
    try:
        return await _serve(request, file)
    except MissingBlobError:
        # Another run may have just put other bytes in its place, or somebody deleted the photo.
        newer = find(request, await _photo(request))
        if newer == file:
            log.error("blob.missing", key=file.key)
            raise
    return await _serve(request, newer)


async def _photo(request: web.Request) -> Photo:
    photo = await request.app[keys.PHOTOS].get(request.match_info["id"])
    if photo.status is PhotoStatus.DELETED:
        raise PhotoDeletedError(f"photo {photo.id} was deleted")
    return photo


async def _serve(request: web.Request, file: _File) -> web.StreamResponse:
    if await request.app[keys.BLOBS].size(file.key) != file.size:
        raise MissingBlobError(f"{file.key} is gone")
    if not_modified(request, file.sha256):
        headers = {hdrs.ETAG: f'"{file.sha256}"', hdrs.CACHE_CONTROL: file.cache}
        return web.Response(status=304, headers=headers)
    part = wanted_part(request, file.sha256, file.size)
    response = web.StreamResponse(status=206 if part.partial else 200, headers=_headers(file))
    if part.partial:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {part.start}-{part.stop - 1}/{file.size}"
    response.content_length = part.stop - part.start
    if request.method == hdrs.METH_GET:
        await _send(request, response, file.key, part)
    else:
        await response.prepare(request)
    await response.write_eof()
    return response


async def _send(request: web.Request, response: web.StreamResponse, key: str, part: Part) -> None:
    blobs = request.app[keys.BLOBS]
    async with aclosing(blobs.stream(key, part.start, part.stop)) as chunks:
        # The first one before the head of the answer, which cannot be taken back.
        first = await anext(chunks)
        await response.prepare(request)
        await response.write(first)
        async for chunk in chunks:
            await response.write(chunk)


def _headers(file: _File) -> dict[str, str]:
    return {
        hdrs.CONTENT_TYPE: file.content_type,
        hdrs.CACHE_CONTROL: file.cache,
        hdrs.ETAG: f'"{file.sha256}"',
        hdrs.ACCEPT_RANGES: "bytes",
        # A plain name for old clients, the real one for the others (RFC 6266, appendix D).
        hdrs.CONTENT_DISPOSITION: (
            f'inline; filename="{safe_name(file.name)}"; '
            f"filename*=UTF-8''{quote(file.name, safe='')}"
        ),
    }
