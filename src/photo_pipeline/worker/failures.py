"""Acting on failed attempts: the one place where a decision of ``judge`` takes effect."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from photo_pipeline.broker.deliveries import Delivery, Verdict
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain import changes
from photo_pipeline.domain.messages import describe_body
from photo_pipeline.domain.photo import Photo, StageError, utc_now
from photo_pipeline.domain.status import StageStatus
from photo_pipeline.domain.trace import trace_of
from photo_pipeline.errors import (
    ForwardFailedError,
    MalformedMessageError,
    RetryableError,
    UnknownPhotoError,
    UnroutableError,
)
from photo_pipeline.worker.reason import dead_letter_headers
from photo_pipeline.worker.recorder import Job, Recorder, standing
from photo_pipeline.worker.retry import DeadLetter, Postpone, Retry, describe, judge

log = structlog.get_logger()

RETURNED: Final = "returned"
"""Result of an attempt whose failure could not be handled either: it is handled again."""

OBSOLETE: Final = "obsolete"
"""Result of an attempt that came too late: the photo is on another run, or deleted."""


def _overtaken(job: Job, photo: Photo, error: Exception) -> str | None:
    """Return the result of an attempt that failed without the stage having failed, else None.

    The stage is done: by this very attempt, which could then not forward the photo, or by
    another one, because the message was delivered twice. Neither may fail the photo, and
    somebody has to forward it: handled again, the message finds the stage done and does. Only
    where forwarding itself can never succeed, the photo ends here.
    """
    match standing(job, photo):
        case StageStatus.DONE if isinstance(error, ForwardFailedError):
            return None
        case StageStatus.DONE:
            log.info("stage.not_forwarded", revision=photo.revision)
            return RETURNED
        case None:
            return OBSOLETE
        case _:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Retries, postpones or buries the messages of one stage."""

    stage: str
    recorder: Recorder
    publisher: Publisher
    worker: str
    retry_delays_s: Sequence[float]

    async def give_up(self, job: Job, error: Exception) -> str:
        """End an attempt that failed with *error*; return its result for the metrics.

        Whatever goes wrong in here too (broker or database down) leads to ``RETURNED``.
        """
        message = job.message
        decision = judge(
            error,
            attempt=message.attempt,
            crashes=message.crashes,
            delays_s=self.retry_delays_s,
        )
        try:
            match decision:
                case Retry():
                    return await self._retry(job, decision, error)
                case Postpone(delay_s):
                    log.warning("stage.postponed", error=str(error), delay_s=delay_s)
                    await self._publish_retry(job, delay_s)
                    return "postponed"
                case DeadLetter(told):
                    return await self._fail(job, told, error)
        except (RetryableError, UnroutableError) as trouble:
            # Unroutable: a queue of ours was deleted, and is declared again.
            log.warning("stage.returned", error=str(trouble), cause=str(error))
            return RETURNED
        except Exception as trouble:
            # Not even its failure can be recorded (a document nobody foresaw, say), and that
            # will not change by itself: keep the message where somebody will look.
            log.exception("stage.unhandled", error=str(trouble), cause=str(error))
            return await self._bury_unhandled(job, trouble)

    async def _bury_unhandled(self, job: Job, trouble: Exception) -> str:
        try:
            await self._bury(job, describe(trouble), trouble)
        except Exception as again:  # noqa: BLE001  # the message must survive any trouble
            log.warning("stage.returned", error=str(again), cause=str(trouble))
            return RETURNED
        return "unhandled"

    async def _retry(self, job: Job, decision: Retry, error: Exception) -> str:
        told = decision.error
        log.warning("stage.retrying", code=told.code, error=told.message, delay_s=decision.delay_s)
        change = changes.stage_retrying(
            self.stage, error=told, attempt=job.message.attempt, worker=self.worker, at=utc_now()
        )
        noted = await self.recorder.apply(job, change)
        if (late := _overtaken(job, noted.photo, error)) is not None:
            return late
        again = job.message.again(attempt=decision.attempt, crashes=decision.crashes)
        await self._publish_retry(Job(message=again, traceparent=job.traceparent), decision.delay_s)
        return "retrying"

    async def _publish_retry(self, job: Job, delay_s: float) -> None:
        await self.publisher.retry(job.message, delay_s=delay_s, traceparent=job.traceparent)

    async def _fail(self, job: Job, told: StageError, error: Exception) -> str:
        """End the photo, tell its outcome, and keep the message among the dead letters.

        Every step may find itself done already by a holder that died in between.
        """
        log.error("stage.failed", code=told.code, error=told.message)
        change = changes.stage_failed(
            self.stage, error=told, attempt=job.message.attempt, worker=self.worker, at=utc_now()
        )
        with suppress(UnknownPhotoError):  # a message about nothing: there is nobody to tell
            noted = await self.recorder.apply(job, change)
            if (late := _overtaken(job, noted.photo, error)) is not None:
                return late
            ended = await self.recorder.apply(
                job, changes.photo_failed(told, self.stage, at=utc_now())
            )
            await self.recorder.tell_outcome(job, ended.photo)
        await self._bury(job, told, error)
        return "failed"

    async def _bury(self, job: Job, told: StageError, error: Exception) -> None:
        await self.publisher.bury(
            job.message.encode(),
            key=self.stage,
            message_id=f"{job.photo_id}:{job.message.run}:{self.stage}:dead",
            photo_id=job.photo_id,
            headers=dead_letter_headers(
                error,
                told,
                worker=self.worker,
                traceparent=job.traceparent,
                attempt=job.message.attempt,
            ),
        )

    async def bury_malformed(self, delivery: Delivery, error: MalformedMessageError) -> Verdict:
        """Dead-letter a message that cannot be parsed; it must never block the queue."""
        log.error("message.malformed", error=error.message, **describe_body(delivery.body))
        try:
            await self.publisher.bury(
                delivery.body,
                key=self.stage,
                message_id=delivery.message_id,
                photo_id=delivery.correlation_id,
                headers=dead_letter_headers(
                    error,
                    describe(error),
                    worker=self.worker,
                    traceparent=trace_of(delivery.headers.get("traceparent")),
                ),
            )
        except Exception as trouble:  # noqa: BLE001  # the message must survive any trouble
            log.warning("message.returned", error=str(trouble))
            return Verdict.AGAIN
        return Verdict.ACK
