"""Finding photos whose message was lost, and sending it again.

A queue that was purged, or a broker that lost its disk, takes messages with it; the status
documents remain, and say where each photo waits and since when. Time alone proves nothing: a
photo may wait for hours in a deep queue. Proof is a queue that has moved past the photo's place:
nothing waits in it any more, or a photo that was queued later has been begun (quorum queues are
first in, first out).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from photo_pipeline.broker.inspect import QueueCount
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.dispatch import dispatch
from photo_pipeline.domain.photo import utc_now
from photo_pipeline.domain.status import StageStatus
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.photos import Photos

log = structlog.get_logger()

MARGIN_S: Final = 60.0
"""For what the documents cannot show: clocks of several machines that differ, a message between
a record and its forward, a consumer that holds a delivery while a server is away."""

CountQueues = Callable[[Iterable[str]], Awaitable[Mapping[str, QueueCount]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Where to look: the *queues* by stage, and how long a photo may be with a worker.

    ``retry_s`` is the longest delay before a further attempt, ``stage_s`` the time limit of one.
    """

    queues: Mapping[str, str]
    retry_s: float
    stage_s: float

    def patience(self, status: StageStatus) -> timedelta:
        """Return how long after it got into *status* a photo's message may be out of its queue."""
        match status:
            case StageStatus.RUNNING:
                return timedelta(seconds=self.stage_s + MARGIN_S)
            case StageStatus.RETRYING:
                return timedelta(seconds=self.retry_s + MARGIN_S)
            case _:
                return timedelta(seconds=MARGIN_S)


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
    now = utc_now()
    counts = await count_queues(search.queues.values())
    found = 0
    for stage, queue in search.queues.items():
        reached = horizon(now, counts[queue].ready, await photos.begun(stage))
        if reached is None:
            continue
        for status in StageStatus:
            before = reached - search.patience(status)
            async for photo in photos.waiting(stage, status, before=before):
                if stop.is_set():
                    return found
                # From here on it is a debt: a crash or a broker that is away delays it only.
                if not await photos.owe(photo.id, photo.run, photo.revision, at=utc_now()):
                    continue
                log.warning(
                    "reconcile.message_lost", photo_id=photo.id, stage=stage, status=status
                )
                await dispatch(photo, photos, publisher)
                metrics.reconciled.labels("lost").inc()
                found += 1
    return found
