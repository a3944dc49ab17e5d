"""Monitoring: one structured line and a few metrics per outcome."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import structlog

from photo_pipeline.domain.document import StatusDocument
from photo_pipeline.domain.messages import OutcomeEvent
from photo_pipeline.domain.status import VERDICT_EVENTS, EventType
from photo_pipeline.subscribers import Handle, Tools

log = structlog.get_logger()


def _began(photo: StatusDocument) -> datetime:
    """Return when the run began that has just ended: the photo may have been through others."""
    queued = (entry.at for entry in photo.timeline if entry.type is EventType.PHOTO_QUEUED)
    return max(queued, default=photo.created_at)


@asynccontextmanager
async def open_subscriber(tools: Tools) -> AsyncIterator[Handle]:
    """Yield the handler; it needs nothing but log and metrics."""

    async def handle(event: OutcomeEvent) -> None:
        photo = event.photo
        if event.type in VERDICT_EVENTS:
            log.info("verdict.told", event_id=event.event_id, verdict=event.type)
            return
        seconds = (event.at - _began(photo)).total_seconds()
        log.info(
            "outcome.told",
            event_id=event.event_id,
            outcome=event.type,
            seconds=seconds,
            renditions=len(photo.renditions),
            attempts={stage.name: stage.attempts for stage in photo.stages},
            error=photo.error.code if photo.error else None,
        )
        tools.metrics.outcomes.labels(photo.status).inc()
        tools.metrics.outcome_seconds.labels(photo.status).observe(seconds)

    yield handle
