"""Filing: every dead letter becomes a case file that can be read without touching RabbitMQ.

The broker puts a copy of each into one queue, which is consumed here. Several replicas may run,
and a copy may come twice: its case has the same id, and what is filed already stays.
"""

from dataclasses import dataclass
from typing import Final

import structlog
from pydantic import ValidationError

from photo_pipeline.broker.deliveries import Delivery, Verdict
from photo_pipeline.domain.casefile import open_case, photo_id_of
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.errors import RetryableError, UnknownPhotoError
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.dead_letters import DeadLetters
from photo_pipeline.storage.photos import Photos

log = structlog.get_logger()

PREFETCH: Final = 10  # an outage may bring thousands at once; each is two quick queries


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """Handles the deliveries of the queue with the copies."""

    dead_letters: DeadLetters
    photos: Photos
    metrics: Metrics

    async def __call__(self, delivery: Delivery) -> Verdict:
        """File one dead letter and say how to settle its copy."""
        try:
            await self._file(delivery)
        except RetryableError as error:
            log.warning("dead_letter.not_filed_yet", code=error.code, error=error.message)
            return Verdict.AGAIN
        except Exception as error:
            # Nothing is lost: the letter itself stays among the dead letters of its key.
            log.exception("dead_letter.not_filed", stage=delivery.routing_key, error=str(error))
        return Verdict.ACK

    async def _file(self, delivery: Delivery) -> None:
        photo_id = photo_id_of(delivery.body, delivery.correlation_id)
        case = open_case(
            stage=delivery.routing_key,
            body=delivery.body,
            headers=delivery.headers,
            message_id=delivery.message_id,
            photo_id=photo_id,
            photo=await self._photo(photo_id),
            at=utc_now(),
        )
        if not await self.dead_letters.file(case):
            return
        self.metrics.dead_letters.labels(case.stage, case.error.code).inc()
        log.error(
            "dead_letter.filed",
            id=case.id,
            stage=case.stage,
            fingerprint=case.fingerprint,
            photo_id=photo_id,
            code=case.error.code,
            error=case.error.message,
        )

    async def _photo(self, photo_id: str | None) -> Photo | None:
        if photo_id is None:
            return None
        try:
            return await self.photos.get(photo_id)
        except (UnknownPhotoError, ValidationError):
            return None
