"""Reconcile: put right what a crash or an outage left half done.

It sends the first message of photos that are still owed it, and erases deleted photos whose
bytes are still there. Several replicas may run: at worst a message is sent twice, which a
stage tolerates.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, Protocol

import structlog

from photo_pipeline.broker import publisher as publishing
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.dispatch import dispatch
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

log = structlog.get_logger()

INTERVAL_S: Final = 2.0  # how long an accepted photo waits once the broker is back
PATIENCE_S: Final = publishing.PATIENCE_S + 2 * publishing.CONFIRM_TIMEOUT_S
"""A younger debt is still being paid by the upload itself."""

RECONNECT_S: Final = 5.0


class Indexed(Protocol):
    """A store that has indexes."""

    async def ensure_indexes(self) -> None:
        """Create them; idempotent. May raise a RetryableError."""


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
    await dispatch(photo, photos, publisher)
    return "dispatch"


async def reconcile(
    photos: Photos,
    blobs: Blobs,
    publisher: Publisher,
    metrics: Metrics,
    stop: asyncio.Event,
    *,
    indexed: Sequence[Indexed],
) -> None:
    """Look again and again until *stop*; see to the indexes of the *indexed* stores as well."""
    indexing = [asyncio.create_task(_ensure_indexes(store)) for store in indexed]
    try:
        while not stop.is_set():
            await _one_round(photos, blobs, publisher, metrics, stop)
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_S):
                    await stop.wait()
    finally:
        for task in indexing:
            task.cancel()
        await asyncio.gather(*indexing, return_exceptions=True)


async def _one_round(
    photos: Photos, blobs: Blobs, publisher: Publisher, metrics: Metrics, stop: asyncio.Event
) -> None:
    try:
        if paid := await pay_debts(photos, blobs, publisher, metrics, stop):
            log.info("reconcile.paid", photos=paid)
    except RetryableError as error:
        log.warning("reconcile.interrupted", code=error.code, error=error.message)
    except Exception as error:
        # One document that nobody foresaw must not end the role, and with it the process.
        log.exception("reconcile.failed", error=str(error))


async def _ensure_indexes(store: Indexed) -> None:
    """Create the indexes beside the work, which on a large collection takes its time."""
    while True:
        try:
            return await store.ensure_indexes()
        except RetryableError as error:
            log.warning("reconcile.not_indexed", error=error.message)
        await asyncio.sleep(INTERVAL_S)
