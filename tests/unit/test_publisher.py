"""Publishing through broker trouble: again and again, spread, and not for ever."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aio_pika.exceptions import ChannelInvalidStateError, DeliveryError, PublishError
from pamqp.commands import Basic

from photo_pipeline.broker import publisher as publishing
from photo_pipeline.broker.connection import Link
from photo_pipeline.broker.publisher import (
    FIRST_PAUSE_S,
    PATIENCE_S,
    Publisher,
)
from photo_pipeline.broker.topology import Names
from photo_pipeline.domain.messages import first_message
from photo_pipeline.errors import BrokerUnavailableError, UnroutableError
from support.pipeline import TRACE, make_photo

AWAY = BrokerUnavailableError("not connected")
NACK = DeliveryError(None, Basic.Nack())


class ReturnedError(PublishError):
    """As the broker's answer to a mandatory message, which the real one wants to see."""

    def __init__(self) -> None:
        Exception.__init__(self, "no queue")


RETURNED = ReturnedError()


@dataclass
class Broker:
    """A link, its channel and its exchange: every try meets the next trouble; None: all is well."""

    troubles: deque[BaseException | None] = field(default_factory=deque)
    for_ever: BaseException | None = None
    freezes: bool = False
    at: list[float] = field(default_factory=list)
    published: list[bytes] = field(default_factory=list)
    rebuilt: int = 0

    async def unblocked_channel(self, timeout_s: float) -> "Broker":
        self.at.append(asyncio.get_running_loop().time())
        return self

    async def get_exchange(self, name: str, *, ensure: bool) -> "Broker":
        return self

    async def publish(self, message: Any, key: str, *, mandatory: bool, timeout: float) -> None:
        trouble = self.troubles.popleft() if self.troubles else self.for_ever
        if trouble is not None:
            raise trouble
        if self.freezes:
            async with asyncio.timeout(timeout):
                await asyncio.Event().wait()
        self.published.append(message.body)

    def rebuild(self) -> None:
        self.rebuilt += 1


async def _publish(broker: Broker) -> None:
    message = first_message(make_photo())
    await Publisher(cast("Link", broker), Names()).work(message, traceparent=TRACE)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred times quicker than in life."""
    for name in ("CONFIRM_TIMEOUT_S", "PATIENCE_S", "FIRST_PAUSE_S", "LONGEST_PAUSE_S"):
        monkeypatch.setattr(publishing, name, getattr(publishing, name) / 100)


@pytest.mark.parametrize(
    "trouble",
    [
        *(AWAY, NACK, ChannelInvalidStateError(), ConnectionResetError(), TimeoutError()),
        Exception(),  # what aiormq gives where a channel ended without a reason
    ],
)
async def test_a_message_is_sent_again_until_it_is_confirmed(trouble: BaseException) -> None:
    broker = Broker(deque([trouble, trouble, trouble]))
    await _publish(broker)
    assert (len(broker.at), len(broker.published)) == (4, 1)
    pauses = [later - earlier for earlier, later in zip(broker.at, broker.at[1:], strict=False)]
    for tries, pause in enumerate(pauses):
        assert pause >= FIRST_PAUSE_S / 100 / 2 * 2**tries * 0.9, "0.9: a clock ticks"


@pytest.mark.parametrize("freezes", [False, True], ids=["away", "frozen"])
async def test_patience_ends(freezes: bool) -> None:
    broker = Broker(for_ever=None if freezes else AWAY, freezes=freezes)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(BrokerUnavailableError):
        await _publish(broker)
    assert all(at - began <= PATIENCE_S / 100 + 0.1 for at in broker.at), "0.1 s: a busy machine"
    assert 3 <= len(broker.at) <= PATIENCE_S / (FIRST_PAUSE_S / 2)
    assert broker.published == []


async def test_what_no_queue_takes_is_tried_again_once_on_a_new_connection() -> None:
    gone, mended = Broker(for_ever=RETURNED), Broker(deque([RETURNED]))
    with pytest.raises(UnroutableError):
        await _publish(gone)
    await _publish(mended)
    for broker in (gone, mended):
        assert (broker.rebuilt, len(broker.at)) == (1, 2)


async def test_who_is_cancelled_does_not_go_on() -> None:
    broker = Broker(for_ever=AWAY)
    publishing_ = asyncio.create_task(_publish(broker))
    await asyncio.sleep(0)
    publishing_.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing_
    assert len(broker.at) == 1
