"""The generic outcome subscriber, and the monitor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import structlog
from prometheus_client import generate_latest

from photo_pipeline.broker.deliveries import Delivery, Verdict
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain.messages import OutcomeEvent
from photo_pipeline.errors import BlobUnavailableError, MissingBlobError
from photo_pipeline.metrics import Metrics
from photo_pipeline.settings import read_settings
from photo_pipeline.subscribers import Tools, load
from photo_pipeline.worker.subscriber import SubscriberConsumer
from support.fakes import FakeBlobs, FakeDeliveries, FakePhotos
from support.pipeline import TRACE, make_outcome

KEY = "processed_images.test"


@dataclass
class Sent:
    """What a subscriber publishes about events it cannot handle."""

    repeats: list[Mapping[str, Any]] = field(default_factory=list)
    dead: list[Mapping[str, Any]] = field(default_factory=list)

    async def repeat(self, body: bytes, **details: Any) -> None:
        self.repeats.append({"body": body, **details})

    async def bury(self, body: bytes, **details: Any) -> None:
        self.dead.append({"body": body, **details})


@dataclass
class Recipient:
    """A handler that fails as told, then takes note."""

    failures: list[Exception] = field(default_factory=list)
    handled: list[OutcomeEvent] = field(default_factory=list)

    async def __call__(self, event: OutcomeEvent) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.handled.append(event)


def _delivery(body: bytes, attempt: object = None) -> Delivery:
    headers = {"traceparent": TRACE} | ({} if attempt is None else {"x-attempt": attempt})
    return Delivery(
        body=body, headers=headers, message_id="m", correlation_id="p", redelivered=False
    )


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def recipient() -> Recipient:
    return Recipient()


@pytest.fixture
def consumer(sent: Sent, recipient: Recipient) -> SubscriberConsumer:
    return SubscriberConsumer(
        name="test",
        key=KEY,
        handle=recipient,
        publisher=cast("Publisher", sent),
        metrics=Metrics(),
        worker="worker-1",
        retry_delays_s=(1.0, 2.0),
    )


async def test_an_event_is_handled_once_however_often_it_comes(
    consumer: SubscriberConsumer, recipient: Recipient
) -> None:
    event = make_outcome()
    for _ in range(3):
        assert await consumer(_delivery(event.encode())) is Verdict.ACK
    assert recipient.handled == [event]


async def test_a_failed_event_is_repeated_for_this_subscriber_alone(
    consumer: SubscriberConsumer, recipient: Recipient, sent: Sent
) -> None:
    recipient.failures.append(BlobUnavailableError())
    event = make_outcome()
    assert await consumer(_delivery(event.encode())) is Verdict.ACK
    (repeat,) = sent.repeats
    assert (repeat["key"], repeat["delay_s"]) == (KEY, 1.0)
    assert repeat["headers"] == {"x-attempt": 2, "traceparent": TRACE}
    assert await consumer(_delivery(repeat["body"], attempt=2)) is Verdict.ACK
    assert recipient.handled == [event]


@pytest.mark.parametrize(
    ("error", "attempt"), [(MissingBlobError(), None), (BlobUnavailableError(), 3)]
)
async def test_what_cannot_be_handled_is_buried(
    consumer: SubscriberConsumer,
    recipient: Recipient,
    sent: Sent,
    error: Exception,
    attempt: int | None,
) -> None:
    recipient.failures.append(error)
    assert await consumer(_delivery(make_outcome().encode(), attempt)) is Verdict.ACK
    assert sent.dead[0]["key"] == KEY
    assert sent.dead[0]["headers"]["x-error-code"]


@pytest.mark.parametrize("attempt", [None, "many", -1])
async def test_what_cannot_be_parsed_is_buried(
    consumer: SubscriberConsumer, sent: Sent, attempt: object
) -> None:
    assert await consumer(_delivery(b"junk", attempt)) is Verdict.ACK
    assert sent.dead[0]["headers"]["x-error-code"] == "malformed_message"


async def test_the_monitor_tells_one_line_and_counts() -> None:
    metrics = Metrics()
    event = make_outcome()
    tools = Tools(
        settings=read_settings({}),
        photos=FakePhotos(),
        blobs=FakeBlobs(),
        deliveries=FakeDeliveries(),
        metrics=metrics,
    )
    async with load("monitor")(tools) as handle:
        with structlog.testing.capture_logs() as lines:
            await handle(event)
    (line,) = lines
    assert line["event"] == "outcome.told"
    assert line["event_id"] == event.event_id
    assert 'photo_outcomes_total{status="done"} 1.0' in generate_latest(metrics.registry).decode()
