"""Deliveries in work: each is handled, again if need be, and settled once."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, Final

import aiormq.abc
import structlog
from aio_pika.abc import AbstractIncomingMessage

from photo_pipeline.broker.connection import AMQP_ERRORS
from photo_pipeline.pauses import growing_s, stopped_within

log = structlog.get_logger()

FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 30.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many deliveries are in work at a time, and for how long.

    *handling_s* is the longest time for one try, and the time within which what could not be
    handled is tried again here; twice of it must stay below the broker's limit on unacknowledged
    deliveries. Giving a delivery back would bring it again at once, and each return counts
    towards the delivery limit, behind which a message is buried without anybody telling its photo.
    """

    prefetch: int
    handling_s: float
    grace_s: float


class Deliveries:
    """The deliveries in work. Their tasks are ours: aio-pika cancels its own with the channel."""

    def __init__(self, handler: Handler, limits: Limits) -> None:
        self._handler = handler
        self._limits = limits
        self._tasks: set[asyncio.Task[None]] = set()
        self.stopping = asyncio.Event()
        self.arrived = 0

    def __len__(self) -> int:
        return len(self._tasks)

    async def on_message(self, message: AbstractIncomingMessage) -> None:
        """Begin to handle *message*; returns at once."""
        self.arrived += 1
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
        deadline = loop.time() + self._limits.handling_s
        for attempt in itertools.count(1):
            try:
                async with asyncio.timeout(self._limits.handling_s):
                    verdict = await self._handler(delivery)
            except Exception as error:
                log.exception("delivery.handler_failed", error=str(error))
                verdict = Verdict.AGAIN
            if verdict is Verdict.ACK or loop.time() > deadline:
                return verdict
            pause_s = growing_s(attempt, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
            if await stopped_within(self.stopping, pause_s) or channel.is_closed:
                break
            # Nobody else had it in between.
            delivery = replace(delivery, redelivered=False)
        return Verdict.AGAIN

    async def drain(self) -> None:
        """Let what is in work end within the grace period, then cancel the rest."""
        grace_s = self._limits.grace_s
        self.stopping.set()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace_s)
        for task in (late := set(self._tasks)):
            task.cancel()
        if late:
            log.warning("drain.incomplete", deliveries=len(late), grace_s=grace_s)
            await asyncio.gather(*late, return_exceptions=True)
