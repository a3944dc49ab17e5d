"""Consume a queue with a handler, settle every delivery once, and drain when asked to stop."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, Final

import aiormq.abc
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from photo_pipeline.broker.connection import AMQP_ERRORS, Link, open_link
from photo_pipeline.broker.topology import Topology, declare

log = structlog.get_logger()

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
HOLD_S: Final = 1200.0
"""What cannot be handled now is held and tried again here: giving it back would bring it again
at once, and each return counts towards the delivery limit, behind which a message is buried
without anybody telling its photo. Below the broker's limit on unacknowledged deliveries (30
minutes) by more than the longest stage."""

HINTS_WAITING: Final = 10_000  # for a listener that hangs; older ones are dropped

CANCEL_TIMEOUT_S: Final = 2.0  # while disconnected, a cancel waits for the reconnect


class Verdict(Enum):
    """How to settle a delivery."""

    ACK = auto()  #: what it caused is durable
    AGAIN = auto()  #: nothing could be done about it now; try again later


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a handler sees of a message; the driver stays in this package."""

    body: bytes
    headers: Mapping[str, Any]
    message_id: str | None
    correlation_id: str | None
    redelivered: bool
    routing_key: str = ""
    reply_to: str | None = None


Handler = Callable[[Delivery], Awaitable[Verdict]]


class _Deliveries:
    """The deliveries in work. Their tasks are ours: aio-pika cancels its own with the channel."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()
        self.stopping = asyncio.Event()

    async def on_message(self, message: AbstractIncomingMessage) -> None:
        if self.stopping.is_set():
            return  # unsettled: it goes to somebody else when the connection closes
        task = asyncio.create_task(self._handle(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, message: AbstractIncomingMessage) -> None:
        delivery = Delivery(
            body=message.body,
            headers=dict(message.headers),
            message_id=message.message_id,
            correlation_id=message.correlation_id,
            redelivered=bool(message.redelivered),
            routing_key=message.routing_key or "",
            reply_to=message.reply_to,
        )
        verdict = await self._until_handled(delivery, message.channel)
        try:
            match verdict:
                case Verdict.ACK:
                    await message.ack()
                case Verdict.AGAIN:
                    await message.nack(requeue=True)
        except AMQP_ERRORS as error:
            # The channel it came from is gone, so the broker will deliver it again.
            log.debug("delivery.stale", verdict=verdict.name, error=str(error))

    async def _until_handled(
        self, delivery: Delivery, channel: aiormq.abc.AbstractChannel
    ) -> Verdict:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + HOLD_S
        for attempt in itertools.count(1):
            try:
                verdict = await self._handler(delivery)
            except Exception as error:
                log.exception("delivery.handler_failed", error=str(error))
                verdict = Verdict.AGAIN
            if verdict is Verdict.ACK or loop.time() > deadline:
                return verdict
            if await self._stopped_within(_pause_s(attempt)) or channel.is_closed:
                break
            # Nobody else had it in between.
            delivery = replace(delivery, redelivered=False)
        return Verdict.AGAIN

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        return self.stopping.is_set()

    async def drain(self, grace_s: float) -> None:
        """Let what is in work end within *grace_s* seconds, then cancel the rest."""
        self.stopping.set()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace_s)
        for task in (late := set(self._tasks)):
            task.cancel()
        if late:
            log.warning("drain.incomplete", deliveries=len(late), grace_s=grace_s)
            await asyncio.gather(*late, return_exceptions=True)


def _pause_s(attempt: int) -> float:
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311  # jitter


@asynccontextmanager
async def consuming(
    url: str,
    queue: str,
    handler: Handler,
    *,
    name: str,
    topology: Topology,
    prefetch: int,
    grace_s: float,
) -> AsyncIterator[Link]:
    """Consume *queue* for as long as the block runs; drain at its end.

    *prefetch* deliveries are in work at a time. At the end no new one is taken, those in
    work get *grace_s* seconds to finish and be acknowledged; what is left is delivered again
    to somebody else.
    """
    deliveries = _Deliveries(handler)
    tags: dict[AbstractChannel, str] = {}

    async def on_up(connection: AbstractConnection) -> AbstractChannel:
        channel = await connection.channel(publisher_confirms=False)
        await declare(channel, topology)
        await channel.set_qos(prefetch_count=prefetch)
        await _rebuild_when_cancelled(channel, lambda: link)
        tags.clear()
        if not deliveries.stopping.is_set():  # a connection may be lost while draining
            source = await channel.get_queue(queue, ensure=False)
            tags[channel] = await source.consume(deliveries.on_message)
        return channel

    async with open_link(url, name=f"{name} consumer", on_up=on_up) as link:
        try:
            yield link
        finally:
            deliveries.stopping.set()
            await _cancel(dict(tags), queue)
            await deliveries.drain(grace_s)


async def _rebuild_when_cancelled(channel: AbstractChannel, link: Callable[[], Link]) -> None:
    # Without this callback a consumer that the broker cancelled (its queue was deleted
    # or lost its quorum) would stay connected and receive nothing for ever.
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda _: link().rebuild())


async def _cancel(tags: Mapping[AbstractChannel, str], queue: str) -> None:
    for channel, tag in tags.items():
        try:
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                source = await channel.get_queue(queue, ensure=False)
                await source.cancel(tag)
        except AMQP_ERRORS as error:
            log.debug("consumer.cancel_failed", queue=queue, error=str(error))


@asynccontextmanager
async def listening(
    url: str,
    exchange: str,
    on_body: Callable[[bytes], None],
    *,
    name: str,
    topology: Topology,
) -> AsyncIterator[Link]:
    """Get a copy of everything published to a topic *exchange*, as long as the block runs.

    Through an exclusive queue that dies with its connection, which is therefore its own:
    after a half-open failure the broker holds the old queue locked until it misses the
    heartbeats. What is published while the link is down is not seen; *on_body* gets hints,
    never the truth.
    """

    async def on_message(message: AbstractIncomingMessage) -> None:
        on_body(message.body)

    async def on_up(connection: AbstractConnection) -> AbstractChannel:
        channel = await connection.channel(publisher_confirms=False)
        await declare(channel, topology)
        queue = await channel.declare_queue(
            exclusive=True, auto_delete=True, arguments={"x-max-length": HINTS_WAITING}
        )
        await _rebuild_when_cancelled(channel, lambda: link)
        await queue.bind(exchange, "#")
        await queue.consume(on_message, no_ack=True)
        return channel

    async with open_link(url, name=f"{name} listener", on_up=on_up) as link:
        yield link
