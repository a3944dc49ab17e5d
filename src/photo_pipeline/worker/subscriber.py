"""The one consumer that runs every outcome subscriber.

consume → parse → drop repeats → handle → ack; a failure is judged as a stage's is.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from photo_pipeline.broker.deliveries import Delivery, Verdict
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain.headers import ATTEMPT, RepeatHeaders
from photo_pipeline.domain.messages import OutcomeEvent
from photo_pipeline.domain.trace import trace_of, tracing
from photo_pipeline.metrics import Metrics
from photo_pipeline.subscribers import Handle
from photo_pipeline.worker.reason import dead_letter_headers
from photo_pipeline.worker.retry import DeadLetter, Postpone, Retry, judge

log = structlog.get_logger()

_REMEMBERED: Final = 10_000
"""Event ids kept to drop repeats, which come within seconds of the first. A subscriber for
which a repeat after its own restart matters keeps the ids where it keeps its results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberConsumer:
    """Handles the deliveries of one subscriber's queue; *key* brings a retry back to it alone."""

    name: str
    key: str
    handle: Handle
    publisher: Publisher
    metrics: Metrics
    worker: str
    retry_delays_s: Sequence[float]
    _seen: OrderedDict[str, None] = field(default_factory=OrderedDict)

    async def __call__(self, delivery: Delivery) -> Verdict:
        """Handle one delivery and say how to settle it."""
        with (
            structlog.contextvars.bound_contextvars(
                subscriber=self.name, photo_id=delivery.correlation_id
            ),
            tracing(delivery.headers.get("traceparent")),
        ):
            try:
                result = await self._handle(delivery)
            except Exception as error:  # noqa: BLE001  # judged, whatever it is
                try:
                    result = await self._give_up(delivery, error)
                except Exception as trouble:  # noqa: BLE001  # the event must survive any trouble
                    log.warning("event.returned", error=str(trouble), cause=str(error))
                    return Verdict.AGAIN
            self.metrics.subscriber_events.labels(self.name, result).inc()
            return Verdict.ACK

    async def _handle(self, delivery: Delivery) -> str:
        event = OutcomeEvent.decode(delivery.body)
        if event.event_id in self._seen:
            log.info("event.repeated", event_id=event.event_id)
            return "repeated"
        await self.handle(event)
        self._seen[event.event_id] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return "handled"

    async def _give_up(self, delivery: Delivery, error: Exception) -> str:
        attempt = _attempt(delivery)
        match judge(error, attempt=attempt, crashes=0, delays_s=self.retry_delays_s):
            case Retry(delay_s, next_attempt, _, told):
                log.warning("event.retrying", code=told.code, error=told.message, delay_s=delay_s)
                await self._repeat(delivery, delay_s, next_attempt)
                return "retrying"
            case Postpone(delay_s):
                log.warning("event.postponed", error=str(error), delay_s=delay_s)
                await self._repeat(delivery, delay_s, attempt)
                return "postponed"
            case DeadLetter(told):
                log.error("event.failed", code=told.code, error=told.message)
                await self.publisher.bury(
                    delivery.body,
                    key=self.key,
                    message_id=delivery.message_id,
                    photo_id=delivery.correlation_id,
                    headers=dead_letter_headers(
                        error,
                        told,
                        worker=self.worker,
                        traceparent=trace_of(delivery.headers.get("traceparent")),
                        attempt=attempt,
                        with_traceback=False,  # libraries quote URLs, whose paths are secrets
                    ),
                )
                return "failed"

    async def _repeat(self, delivery: Delivery, delay_s: float, attempt: int) -> None:
        await self.publisher.repeat(
            delivery.body,
            key=self.key,
            delay_s=delay_s,
            message_id=delivery.message_id,
            photo_id=delivery.correlation_id,
            headers=RepeatHeaders(
                attempt=attempt, traceparent=trace_of(delivery.headers.get("traceparent"))
            ).encode(),
        )


def _attempt(delivery: Delivery) -> int:
    # Only our own repeats carry the header; whatever else stands there is a first attempt.
    value = delivery.headers.get(ATTEMPT)
    return value if isinstance(value, int) and value >= 1 else 1
