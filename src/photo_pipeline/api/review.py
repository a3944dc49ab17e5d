"""The review list: what people decide about photos that detection doubts."""

import asyncio
from typing import Annotated, Final, Literal

import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from photo_pipeline.api import keys
from photo_pipeline.api.body import read_body
from photo_pipeline.api.paging import page_cursor, page_headers, page_limit
from photo_pipeline.api.problems import json_response
from photo_pipeline.domain.changes import photo_judged
from photo_pipeline.domain.document import status_document
from photo_pipeline.domain.messages import latest_event
from photo_pipeline.domain.moderation import Moderation, Verdict, decided
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.stage import ORIGINAL
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import NotModeratedError, PhotoDeletedError
from photo_pipeline.verdicts import tell_verdicts

log = structlog.get_logger()

MAX_BY: Final = 100
"""Somebody's name or address."""
MAX_REASON: Final = 500
"""Some sentences: every status document carries them along."""


class ReviewBody(BaseModel):
    """What a person has decided, who it was, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Literal["approve", "reject"]
    by: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_BY)]
    reason: Annotated[str, Field(max_length=MAX_REASON)] | None = None


class ReviewItem(BaseModel):
    """A photo that waits for a person; ``pictures`` are paths at which it can be looked at."""

    id: str
    filename: str
    preset: str
    revision: int
    moderation: Moderation
    pictures: dict[str, str]


class ReviewPage(BaseModel):
    """Some of the photos that wait, the oldest first; ``next_cursor`` asks for those after."""

    items: list[ReviewItem]
    next_cursor: str | None


async def get_review(request: web.Request) -> web.Response:
    """Answer a page of the photos that wait for a person."""
    limit = page_limit(request)
    photos = request.app[keys.PHOTOS]
    found = await photos.waiting_for_review(page_cursor(request), limit + 1)
    cursor = found[limit - 1].id if len(found) > limit else None
    page = ReviewPage(
        items=[_item(photo, photo.moderation) for photo in found[:limit] if photo.moderation],
        next_cursor=cursor,
    )
    return json_response(page, headers=page_headers(request, "/review", cursor))


def _item(photo: Photo, moderation: Moderation) -> ReviewItem:
    names = [ORIGINAL, *(rendition.name for rendition in photo.renditions)]
    return ReviewItem(
        id=photo.id,
        filename=photo.filename,
        preset=photo.preset.name,
        revision=photo.revision,
        moderation=moderation,
        pictures={name: f"/review/{photo.id}/{name}" for name in names},
    )


async def post_review(request: web.Request) -> web.Response:
    """Approve or reject a photo; saying the same again changes nothing."""
    wanted = await read_body(request, ReviewBody)
    app, photo_id = request.app, request.match_info["id"]
    photo = await app[keys.PHOTOS].get(photo_id)
    target = Verdict.APPROVED if wanted.verdict == "approve" else Verdict.REJECTED
    while (moderation := _moderated(photo)).verdict is not target:
        at = utc_now()
        verdict = decided(
            moderation,
            approve=target is Verdict.APPROVED,
            by=wanted.by,
            reason=wanted.reason,
            at=at,
        )
        change = photo_judged(photo, verdict, at=at)
        result = await app[keys.PHOTOS].apply(photo_id, photo.run, change)
        photo = result.photo  # refused: somebody was quicker, so decide anew
        if result.applied:
            log.info("photo.judged", photo_id=photo_id, verdict=target, by=wanted.by)
            app[keys.BACKGROUND].spawn(f"tell {photo_id}", _tell(app, photo))
            break
    return json_response(status_document(photo), headers={hdrs.CACHE_CONTROL: "no-cache"})


def _moderated(photo: Photo) -> Moderation:
    """Return the verdict on *photo* so far, if there is one that a person may change."""
    if photo.status is PhotoStatus.DELETED:
        raise PhotoDeletedError(f"photo {photo.id} was deleted")
    if photo.moderation is None:
        raise NotModeratedError(f"the preset {photo.preset.name!r} of the photo has no gate")
    if photo.status is not PhotoStatus.DONE:
        raise NotModeratedError(f"the photo is {photo.status}: detection has to look at it first")
    return photo.moderation


async def _tell(app: web.Application, photo: Photo) -> None:
    publisher = app[keys.PUBLISHER]
    await asyncio.gather(
        publisher.status(latest_event(photo), traceparent=photo.traceparent),
        tell_verdicts(photo, app[keys.PHOTOS], publisher),
    )
