"""The subscriber ``notify``: who is told what, how often, and what becomes of failures."""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from photo_pipeline.domain.messages import OutcomeEvent
from photo_pipeline.domain.trace import tracing
from photo_pipeline.errors import (
    SettingsError,
    StoreUnavailableError,
    WebhookFailedError,
    WebhookRefusedError,
)
from photo_pipeline.metrics import Metrics
from photo_pipeline.settings import read_settings
from photo_pipeline.subscribers import Tools, load, prefetch_of
from photo_pipeline.subscribers.notify import Webhooks
from photo_pipeline.webhooks.signing import signed_headers
from support.fakes import Cut, FakeBlobs, FakeDeliveries, FakePhotos, Scissors
from support.pipeline import TRACE, make_outcome

FIRST, SECOND = "https://first.example/hook", "https://second.example/hook"
KEY = b"a key of sixteen"


@dataclass
class Receivers:
    """Accepts everything, after having failed as told."""

    failures: defaultdict[str, deque[Exception]] = field(default_factory=lambda: defaultdict(deque))
    calls: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.calls.append((url, body, headers))
        if self.failures[url]:
            raise self.failures[url].popleft()
        return 204

    @property
    def called(self) -> list[str]:
        return [url for url, _, _ in self.calls]


@pytest.fixture
def receivers() -> Receivers:
    return Receivers()


def _webhooks(receivers: Receivers, deliveries: FakeDeliveries | None = None) -> Webhooks:
    return Webhooks(
        urls=(FIRST, SECOND), key=KEY, send=receivers, deliveries=deliveries or FakeDeliveries()
    )


async def test_every_url_gets_the_event_signed(receivers: Receivers) -> None:
    event = make_outcome()
    with tracing(TRACE):
        await _webhooks(receivers)(event)
    assert sorted(receivers.called) == [FIRST, SECOND]
    for _, body, headers in receivers.calls:
        assert body == event.encode()
        assert OutcomeEvent.decode(body) == event
        assert headers["Content-Type"] == "application/json"
        assert headers["traceparent"] == TRACE
        assert headers["webhook-id"] == event.event_id
        timestamp = int(headers["webhook-timestamp"])
        expected = signed_headers(KEY, webhook_id=event.event_id, timestamp=timestamp, body=body)
        assert expected.items() <= headers.items()


async def test_who_has_heard_an_event_does_not_hear_it_again(receivers: Receivers) -> None:
    deliveries, event = FakeDeliveries(), make_outcome()
    receivers.failures[SECOND] += [WebhookFailedError("no"), WebhookFailedError("no")]
    for _ in range(2):
        with pytest.raises(WebhookFailedError):
            await _webhooks(receivers, deliveries)(event)
    for _ in range(2):
        await _webhooks(receivers, deliveries)(event)
    assert receivers.called.count(FIRST) == 1
    assert receivers.called.count(SECOND) == 3
    await _webhooks(receivers, deliveries)(make_outcome())
    assert receivers.called.count(FIRST) == 2


@pytest.mark.parametrize("after", [False, True])
async def test_a_death_between_answer_and_note_repeats_one_call_at_most(
    receivers: Receivers, after: bool
) -> None:
    deliveries, event = FakeDeliveries(Scissors(at=1, after=after)), make_outcome()
    webhooks = Webhooks(urls=(FIRST,), key=KEY, send=receivers, deliveries=deliveries)
    with pytest.raises(Cut):
        await webhooks(event)
    await webhooks(event)
    assert receivers.called == [FIRST] * (1 if after else 2)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (WebhookFailedError("a"), WebhookRefusedError("b"), WebhookFailedError),
        (WebhookRefusedError("a"), WebhookFailedError("b"), WebhookFailedError),
        (WebhookRefusedError("a"), None, WebhookRefusedError),
        (WebhookRefusedError("a"), WebhookRefusedError("b"), WebhookRefusedError),
        (WebhookFailedError("a"), StoreUnavailableError("b"), StoreUnavailableError),
        (WebhookFailedError("a"), OSError("b"), OSError),
    ],
)
async def test_what_may_heal_decides_before_what_cannot(
    receivers: Receivers, first: Exception, second: Exception | None, expected: type[Exception]
) -> None:
    receivers.failures[FIRST].append(first)
    receivers.failures[SECOND] += [second] if second else []
    with pytest.raises(expected) as caught:
        await _webhooks(receivers)(make_outcome())
    if expected in (WebhookFailedError, WebhookRefusedError):
        assert str(caught.value) == ("a; b" if second else "a")


def _tools(**environment: Any) -> Tools:
    return Tools(
        settings=read_settings(environment),
        photos=FakePhotos(),
        blobs=FakeBlobs(),
        deliveries=FakeDeliveries(),
        metrics=Metrics(),
    )


async def test_without_a_url_it_says_so_and_lets_events_pass() -> None:
    with structlog.testing.capture_logs() as lines:
        async with load("notify")(_tools()) as handle:
            await handle(make_outcome())
    assert [line["event"] for line in lines] == ["webhooks.off"]


async def test_the_log_tells_receivers_without_their_secrets() -> None:
    url = "https://user:password@hooks.example:8443/path?token=t"
    tools = _tools(PHOTO_WEBHOOK_URLS=f"{url},{url}", PHOTO_WEBHOOK_SECRET="0123456789abcdef")  # noqa: S106
    with structlog.testing.capture_logs() as lines:
        async with load("notify")(tools):
            pass
    (line,) = lines
    assert line["receivers"] == ["https://hooks.example:8443"]


async def test_a_secret_that_cannot_be_read_is_told_at_the_start() -> None:
    tools = _tools(
        PHOTO_WEBHOOK_URLS="https://hooks.example",
        PHOTO_WEBHOOK_SECRET="whsec_not*base64!",  # noqa: S106
    )
    with pytest.raises(SettingsError, match="PHOTO_WEBHOOK_SECRET") as caught:
        async with load("notify")(tools):
            pass
    assert "not*base64" not in str(caught.value)


def test_it_takes_several_events_at_a_time_and_others_what_is_set() -> None:
    assert prefetch_of("notify", default=1) > 1
    assert prefetch_of("monitor", default=3) == 3
