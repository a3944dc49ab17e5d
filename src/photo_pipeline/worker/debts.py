"""Paying the debts that a crash or an outage left open.

The first message of photos that are still owed it, the verdicts that were not told, and the end
of the bytes of deleted ones.
"""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from photo_pipeline.broker import publisher as publishing
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.dispatch import dispatch
from photo_pipeline.domain.messages import verdict_events
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.erase import erase
from photo_pipeline.errors import (
    BlobUnavailableError,
    BrokerUnavailableError,
    RetryableError,
    UnroutableError,
)
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.blobs import Blobs
from photo_pipeline.storage.photos import Photos
from photo_pipeline.verdicts import tell_verdicts

log = structlog.get_logger()

PATIENCE_S: Final = publishing.PATIENCE_S + 2 * publishing.CONFIRM_TIMEOUT_S
"""A younger debt is still being paid by the upload itself."""

EVERY_S: Final = 2.0
"""How long an accepted photo waits once the broker is back."""

RECONNECT_S: Final = 5.0


async def pay_debts(
    photos: Photos, blobs: Blobs, publisher: Publisher, metrics: Metrics, stop: asyncio.Event
) -> int:
    """Pay every photo what it has been owed for too long, until *stop*; return how many.

    A photo that cannot be paid holds up no other. Raises a RetryableError when broker or
    database are away; what is left stays owed.
    """
    paid = 0
    async for photo in photos.owed(before=utc_now() - timedelta(seconds=PATIENCE_S)):
        if stop.is_set():
            break
        try:
            kind = await _pay(photo, photos, blobs, publisher)
        except BlobUnavailableError as error:
            log.warning("reconcile.not_erased", photo_id=photo.id, error=error.message)
            continue
        except (BrokerUnavailableError, UnroutableError) as error:
            log.warning("reconcile.not_dispatched", photo_id=photo.id, error=error.message)
            await publisher.up(RECONNECT_S)
            continue
        except RetryableError:
            raise
        except Exception as error:
            # A document nobody foresaw, and the oldest: it would hold up all others for ever.
            log.exception("reconcile.not_paid", photo_id=photo.id, error=str(error))
            continue
        metrics.reconciled.labels(kind).inc()
        paid += 1
    return paid


async def _pay(photo: Photo, photos: Photos, blobs: Blobs, publisher: Publisher) -> str:
    if photo.status is PhotoStatus.DELETED:
        await erase(photo, photos, blobs)
        return "erase"
    if photo.status is PhotoStatus.DONE and verdict_events(photo):
        await tell_verdicts(photo, photos, publisher)
        return "verdict"
    # Its place in the queue is that of now, however long it was owed: see worker/lost.py.
    await photos.queued_again(photo.id, photo.run, at=utc_now())
    await dispatch(photo, photos, publisher)
    return "dispatch"
