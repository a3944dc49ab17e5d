"""Finding photos whose message was lost, and sending it again.

A queue that was purged, or a broker that lost its disk, takes messages with it; the status
documents remain, and say where each photo waits and since when. Time alone proves nothing: a
photo may wait for hours in a deep queue. Proof is a queue that has moved past the photo's place:
nothing waits in it any more, or a photo that was queued later has been begun (quorum queues are
first in, first out).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from photo_pipeline.broker.inspect import QueueCount
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.dispatch import dispatch
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.status import StageStatus
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.photos import Photos

log = structlog.get_logger()

EVERY_S: Final = 30.0
"""Lost messages are rare and a photo has waited for its margin already."""

MARGIN_S: Final = 60.0
"""For what the documents cannot show: clocks of several machines that differ, a message between
a record and its forward, a consumer that holds a delivery while a server is away."""

FEW: Final = 10
"""So many in a queue that counted as empty just before may have come since: uploads, or what
another reconcile put back."""

CountQueues = Callable[[Iterable[str]], Awaitable[Mapping[str, QueueCount]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Where to look: the *queues* by stage, and how long a photo may be with a worker.

    ``retry_s`` is the longest delay before a further attempt, ``stage_s`` the time limit of one,
    ``margin_s`` allowed for everything else.
    """

    queues: Mapping[str, str]
    retry_s: float
    stage_s: float
    margin_s: float = MARGIN_S

    def patience(self, status: StageStatus) -> timedelta:
        """Return how long after it got into *status* a photo's message may be out of its queue."""
        longer = {StageStatus.RUNNING: self.stage_s, StageStatus.RETRYING: self.retry_s}
        return timedelta(seconds=longer.get(status, 0.0) + self.margin_s)


def horizon(now: datetime, ready: int, begun: Sequence[datetime]) -> datetime | None:
    """Return up to when a queue has been worked off: what was queued before has been delivered.

    *now* is from before *ready* messages were counted in it, *begun* says when the photos that
    are being worked on were queued. None: nothing is known.
    """
    return now if ready == 0 else max(begun, default=None)


async def put_back(
    search: Search,
    photos: Photos,
    publisher: Publisher,
    count_queues: CountQueues,
    metrics: Metrics,
    stop: asyncio.Event,
) -> int:
    """Send the messages again that were lost; return how many. May raise a RetryableError.

    The photo goes on at the first stage that is not done. Should its message exist all the same,
    the photo is worked on twice, which gives the same bytes and one outcome.
    """
    found = 0
    for stage, queue in search.queues.items():
        now = utc_now()
        ready = await _ready(queue, count_queues)
        reached = horizon(now, ready, await photos.begun(stage))
        put = 0
        async for photo in _lost(stage, reached, search, photos):
            if stop.is_set():
                return found
            # From here on it is a debt: a crash or a broker that is away delays it only.
            if not await photos.owe(photo, at=utc_now()):
                continue
            log.warning("reconcile.message_lost", photo_id=photo.id, stage=stage)
            await dispatch(photo, photos, publisher)
            metrics.reconciled.labels("lost").inc()
            found, put = found + 1, put + 1
            # A queue without a leader counts as empty; now that it took a message, it has one.
            if put == 1 and ready == 0 and await _ready(queue, count_queues) > FEW:
                log.info("reconcile.not_empty", queue=queue)
                break
    return found


async def _lost(
    stage: str, reached: datetime | None, search: Search, photos: Photos
) -> AsyncIterator[Photo]:
    if reached is not None:
        for status in StageStatus:
            async for photo in photos.waiting(stage, status, reached - search.patience(status)):
                yield photo


async def _ready(queue: str, count_queues: CountQueues) -> int:
    return (await count_queues([queue]))[queue].ready
