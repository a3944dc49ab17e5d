"""Consume a queue with a handler, for as long as there is a use in it, and drain in the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Never

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection

from photo_pipeline.broker.connection import (
    AMQP_ERRORS,
    Link,
    open_link,
    rebuild_when_cancelled,
    translated,
)
from photo_pipeline.broker.deliveries import Deliveries, Handler, Limits
from photo_pipeline.broker.topology import Topology, declare
from photo_pipeline.broker.watchdog import LOOK_EVERY_S, Vitals, Watchdog
from photo_pipeline.errors import BrokerUnavailableError
from photo_pipeline.lifecycle import beside

log = structlog.get_logger()

CONSUME_TIMEOUT_S: Final = 5.0
CANCEL_TIMEOUT_S: Final = 2.0  # while disconnected, a cancel waits for the reconnect
PAUSE_AFTER_S: Final = 5.0  # a restarted broker has the publisher back within about a second

Writable = Callable[[float], Awaitable[None]]
"""Waits so many seconds for RabbitMQ to take messages, then raises BrokerUnavailableError."""


class Consumer:
    """Consumes one queue whenever it may: not while stopping, nor while it is paused."""

    def __init__(
        self, queue: str, deliveries: Deliveries, *, topology: Topology, prefetch: int
    ) -> None:
        self._queue = queue
        self._deliveries = deliveries
        self._topology = topology
        self._prefetch = prefetch
        self._link: Link | None = None
        self._tags: dict[AbstractChannel, str] = {}
        self._paused = ""

    async def on_up(self, link: Link, connection: AbstractConnection) -> AbstractChannel:
        """Declare and consume on a new connection."""
        self._link = link
        channel = await connection.channel(publisher_confirms=False)
        await declare(channel, self._topology)
        await channel.set_qos(prefetch_count=self._prefetch)
        await rebuild_when_cancelled(channel, link)
        self._tags.clear()
        await self._consume(channel)
        return channel

    async def check(self) -> None:
        """Raise BrokerUnavailableError while it takes nothing."""
        if self._link is None:
            raise BrokerUnavailableError("not connected to RabbitMQ yet")
        await self._link.check()
        if self._paused:
            raise BrokerUnavailableError(f"takes nothing: {self._paused}")

    def vitals(self) -> Vitals | None:
        """Return what the watchdog is to compare with the broker's view."""
        if self._paused or self._deliveries.stopping.is_set():
            return None
        in_work = len(self._deliveries)
        return Vitals(
            queue=self._queue,
            arrived=self._deliveries.arrived,
            in_work=in_work,
            free=in_work < self._prefetch,
        )

    async def pause_while_not(self, writable: Writable, link: Link) -> Never:
        """Take nothing while RabbitMQ takes nothing from us, as under a memory or disk alarm.

        What is held then could not be handed on. It is given back when its time is over, and
        would come again at once: an alarm of some hours would reach the delivery limit.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            reason = ""
            try:
                await writable(PAUSE_AFTER_S)
            except BrokerUnavailableError as error:
                reason = error.message
            try:
                channel = await link.channel(timeout_s=0)
            except BrokerUnavailableError:
                continue  # it is RabbitMQ as a whole, and the link is at it
            if reason and not self._paused:
                log.warning("consumer.paused", queue=self._queue, reason=reason)
            elif self._paused and not reason:
                log.info("consumer.resumed", queue=self._queue)
            self._paused = reason
            try:
                with translated():
                    await (self._cancel() if reason else self._consume(channel))
            except BrokerUnavailableError as error:
                log.warning("consumer.not_switched", queue=self._queue, error=error.message)
                link.rebuild()  # nobody knows what it consumes now

    async def stop(self) -> None:
        """Take nothing more; what is in work can still be settled."""
        self._deliveries.stopping.set()
        try:
            await self._cancel()
        except AMQP_ERRORS as error:
            log.debug("consumer.cancel_failed", queue=self._queue, error=str(error))

    async def _consume(self, channel: AbstractChannel) -> None:
        # A connection may be lost, and come back, while draining or paused.
        if self._paused or self._deliveries.stopping.is_set() or channel in self._tags:
            return
        async with asyncio.timeout(CONSUME_TIMEOUT_S):
            source = await channel.get_queue(self._queue, ensure=False)
            self._tags[channel] = await source.consume(self._deliveries.on_message)

    async def _cancel(self) -> None:
        while self._tags:
            channel, tag = self._tags.popitem()
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                source = await channel.get_queue(self._queue, ensure=False)
                await source.cancel(tag)


@asynccontextmanager
async def consuming(
    url: str,
    queue: str,
    handler: Handler,
    *,
    name: str,
    topology: Topology,
    limits: Limits,
    writable: Writable,
) -> AsyncIterator[Consumer]:
    """Consume *queue* for as long as the block runs; drain at its end.

    At the end no new delivery is taken, those in work get the grace period to finish and be
    acknowledged; what is left is delivered again to somebody else. Raises ConsumerStuckError
    when nothing arrives any more although it should.
    """
    deliveries = Deliveries(handler, limits)
    consumer = Consumer(queue, deliveries, topology=topology, prefetch=limits.prefetch)
    async with open_link(url, name=f"{name} consumer", on_up=consumer.on_up) as link:
        try:
            async with (
                beside(Watchdog(link, consumer.vitals).run()),
                beside(consumer.pause_while_not(writable, link)),
            ):
                yield consumer
        finally:
            await consumer.stop()
            await deliveries.drain()
