"""Sweeping the storage: files that no status document names.

A process that dies in the middle of an upload leaves a temporary file; one that dies between the
bytes and the document leaves an original, between a record and the deletion of what it replaced
a rendition. None of these is ever served; they only take room.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import structlog

from photo_pipeline.domain.photo import created_at, utc_now
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import UnknownPhotoError
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.blobs import SHARDS, Blobs
from photo_pipeline.storage.photos import UNENDED, Photos, Selection

log = structlog.get_logger()

AGE: Final = timedelta(days=1)
"""A younger file may belong to an upload or a run that goes on: nothing takes this long."""

AGE_UNKNOWN: Final = timedelta(days=7)
"""Of the files of a photo without a document. A database that was restored from last night's
backup knows nothing of today's photos: time to notice, and to put that right."""

EVERY_S: Final = 300.0
"""One of the 256 shards at a time: all of them in the course of a day, without a burst of
reading on a large store."""


def sweeping(
    photos: Photos, blobs: Blobs, metrics: Metrics
) -> Callable[[asyncio.Event], Awaitable[int]]:
    """Return the chore that sweeps another shard each time; it may raise a RetryableError.

    It begins anywhere, so that several replicas, or one that starts often, get around.
    """
    first = random.randrange(len(SHARDS))  # noqa: S311  # spreads work, no secret
    shards = itertools.cycle((*SHARDS[first:], *SHARDS[:first]))

    async def sweep_next(stop: asyncio.Event) -> int:
        stale = await blobs.drop_stale(before=utc_now() - AGE)
        metrics.reconciled.labels("stale").inc(stale)
        return stale + await sweep(next(shards), photos, blobs, metrics, stop)

    return sweep_next


async def sweep(
    shard: str, photos: Photos, blobs: Blobs, metrics: Metrics, stop: asyncio.Event
) -> int:
    """Delete the orphans of one of the SHARDS, return how many; may raise a RetryableError."""
    deleted = 0
    async for photo_id, keys in blobs.aged(shard, before=utc_now() - AGE):
        if stop.is_set():
            break
        for key in await _orphans(photo_id, keys, photos):
            log.warning("reconcile.orphan", photo_id=photo_id, key=key)
            await blobs.delete(key)
            metrics.reconciled.labels("orphan").inc()
            deleted += 1
    return deleted


async def _orphans(photo_id: str, keys: list[str], photos: Photos) -> list[str]:
    try:
        photo = await photos.get(photo_id)
    except UnknownPhotoError:
        return keys if await _may_be_forgotten(photo_id, photos) else []
    if photo.status in UNENDED:
        return []  # a run may write others
    named = {rendition.key for rendition in photo.renditions}
    if photo.status is not PhotoStatus.DELETED:
        named.add(photo.original)
    return [key for key in keys if key not in named]


async def _may_be_forgotten(photo_id: str, photos: Photos) -> bool:
    """Tell whether a photo without a document is one that was never accepted.

    A database that knows no older photo at all is rather the wrong one, or empty.
    """
    try:
        age = utc_now() - created_at(photo_id)
    except ValueError:
        return False  # not our file
    if age < AGE_UNKNOWN:
        return False
    older = await photos.page(Selection(statuses=tuple(PhotoStatus), before=photo_id), limit=1)
    return bool(older)
