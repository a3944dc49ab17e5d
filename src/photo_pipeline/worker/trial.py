"""Trying a photo out: the stage runs on it, and nothing is kept, changed or told but the result."""

import time
from dataclasses import dataclass

import structlog

from photo_pipeline import __version__
from photo_pipeline.broker.deliveries import Delivery, Verdict
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain.messages import TrialAnswer, TrialError, TrialMessage
from photo_pipeline.domain.origin import fingerprint, origin_of
from photo_pipeline.domain.photo import utc_now
from photo_pipeline.domain.trace import trace_of
from photo_pipeline.errors import MalformedMessageError
from photo_pipeline.storage.photos import Photos
from photo_pipeline.worker.consumer import StageConsumer
from photo_pipeline.worker.retry import describe

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """Answers the trials among the deliveries of a stage and hands on everything else."""

    consumer: StageConsumer
    photos: Photos
    publisher: Publisher

    async def __call__(self, delivery: Delivery) -> Verdict:
        """Handle one delivery; a trial is settled in any case."""
        if delivery.reply_to is None:
            return await self.consumer(delivery)
        try:
            trial = TrialMessage.decode(delivery.body)
        except MalformedMessageError:
            return await self.consumer(delivery)
        # Delivered before, it has taken its worker down with it: one is enough.
        if not delivery.redelivered and utc_now() < trial.answer_before:
            answer = await self._try(trial)
            await self.publisher.reply(
                answer,
                to=delivery.reply_to,
                traceparent=trace_of(delivery.headers.get("traceparent")),
            )
        return Verdict.ACK

    async def _try(self, trial: TrialMessage) -> TrialAnswer:
        started, told = time.monotonic(), None
        try:
            await self.consumer.make(await self.photos.get(trial.photo_id))
        except Exception as error:  # noqa: BLE001  # whatever it is, that is the answer
            described, origin = describe(error), origin_of(error)
            told = TrialError(
                code=described.code,
                message=described.message,
                type=origin.type,
                fingerprint=fingerprint(self.consumer.name, described.code, origin),
            )
        answer = TrialAnswer(
            photo_id=trial.photo_id,
            stage=self.consumer.name,
            worker=self.consumer.worker,
            version=__version__,
            work_ms=round((time.monotonic() - started) * 1000),
            error=told,
        )
        log.info("trial.answered", **answer.model_dump(exclude_none=True))
        return answer
