"""Reading photos: the status document, and the list of them."""

import asyncio
import re
from typing import Final

from aiohttp import hdrs, web
from aiohttp.helpers import ETAG_ANY, ETag
from pydantic import BaseModel

from photo_pipeline.api import keys
from photo_pipeline.api.everything import LISTED
from photo_pipeline.api.following import next_look
from photo_pipeline.api.paging import page_cursor, page_headers, page_limit
from photo_pipeline.api.problems import json_response
from photo_pipeline.domain.colours import COLOUR_NAMES
from photo_pipeline.domain.document import status_document
from photo_pipeline.domain.findings import as_tag
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import TERMINAL, PhotoStatus
from photo_pipeline.domain.summary import PhotoSummary, summary
from photo_pipeline.errors import InvalidRequestError
from photo_pipeline.storage.photos import Selection

STOP_CHECK_S: Final = 1.0  # how late a long poll notices that this replica is stopping
LONGEST_WAIT_S: Final = 60.0  # below the idle timeout of usual proxies
LONGEST_TAG: Final = 100  # the longest class name of ImageNet has 60 characters
_FACES: Final = re.compile(r"[0-9]{1,4}")
_SECONDS: Final = re.compile(r"[0-9]{1,4}(\.[0-9]{1,9})?")


async def get_status(request: web.Request) -> web.Response:
    """Answer the status document; ``?wait=S`` waits for the outcome, at most S seconds."""
    photo = await _wait_for_outcome(request, request.match_info["id"])
    revision = str(photo.revision)
    # Weakly compared (RFC 9110, 13.1.2): a proxy that compresses makes a tag weak.
    known = {tag.value for tag in request.if_none_match or ()}
    if known & {revision, ETAG_ANY}:
        return web.Response(status=304, headers={hdrs.ETAG: f'"{revision}"'})
    response = json_response(status_document(photo))
    response.etag = ETag(revision)
    # Clients may keep it, but must ask each time whether it still stands.
    response.headers[hdrs.CACHE_CONTROL] = "no-cache"
    return response


async def _wait_for_outcome(request: web.Request, photo_id: str) -> Photo:
    deadline = asyncio.get_running_loop().time() + _wait_seconds(request)
    stopping = request.app[keys.STOPPING]
    with request.app[keys.FEED].following(photo_id) as inbox:
        while True:
            photo = await request.app[keys.PHOTOS].get(photo_id)
            left = deadline - asyncio.get_running_loop().time()
            nobody = stopping.is_set() or request.transport is None
            if photo.status in TERMINAL or left <= 0 or nobody:
                return photo
            await next_look(inbox, min(left, STOP_CHECK_S))


def _wait_seconds(request: web.Request) -> float:
    value = request.query.get("wait", "0")
    seconds = float(value) if _SECONDS.fullmatch(value) else -1
    if not 0 <= seconds <= LONGEST_WAIT_S:
        raise InvalidRequestError(f"wait must be a number of seconds, 0 to {LONGEST_WAIT_S:g}")
    return seconds


class PhotoPage(BaseModel):
    """Some photos, newest first; ``next_cursor`` asks for those after them."""

    items: list[PhotoSummary]
    next_cursor: str | None


async def get_photos(request: web.Request) -> web.Response:
    """Answer a page of photos, newest first; deleted ones only when asked for by status."""
    limit = page_limit(request)
    selection = Selection(
        statuses=_statuses(request),
        stage=_stage(request),
        before=page_cursor(request),
        tag=_tag(request),
        faces=_faces(request),
        colour=_colour(request),
    )
    found = await request.app[keys.PHOTOS].page(selection, limit + 1)  # one more: is there more?
    shown = found[:limit]
    cursor = shown[-1].id if len(found) > limit else None
    page = PhotoPage(items=[summary(photo) for photo in shown], next_cursor=cursor)
    return json_response(page, headers=page_headers(request, "/photos", cursor))


def _statuses(request: web.Request) -> tuple[PhotoStatus, ...]:
    value = request.query.get("status")
    if value is None:
        return LISTED
    try:
        return (PhotoStatus(value),)
    except ValueError:
        raise InvalidRequestError(f"status must be one of: {', '.join(PhotoStatus)}") from None


def _stage(request: web.Request) -> str | None:
    value = request.query.get("stage")
    pipeline = request.app[keys.PLANS].pipeline
    if value is not None and value not in pipeline:
        raise InvalidRequestError(f"stage must be one of: {', '.join(pipeline)}")
    return value


def _tag(request: web.Request) -> str | None:
    value = request.query.get("label")
    if value is None:
        return None
    tag = as_tag(value)
    if not 1 <= len(tag) <= LONGEST_TAG:
        raise InvalidRequestError(f"label must be a word or two, at most {LONGEST_TAG} characters")
    return tag


def _faces(request: web.Request) -> int | None:
    value = request.query.get("faces")
    if value is not None and not _FACES.fullmatch(value):
        raise InvalidRequestError("faces must be a number, 0 to 9999")
    return None if value is None else int(value)


def _colour(request: web.Request) -> str | None:
    value = request.query.get("color")
    if value is not None and value not in COLOUR_NAMES:
        raise InvalidRequestError(f"color must be one of: {', '.join(COLOUR_NAMES)}")
    return value
