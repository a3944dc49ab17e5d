"""Listen to everything that is published to a topic exchange: hints, never the truth."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from photo_pipeline.broker.connection import Link, open_link, rebuild_when_cancelled
from photo_pipeline.broker.topology import Topology, declare
from photo_pipeline.broker.watchdog import Vitals, Watchdog
from photo_pipeline.lifecycle import beside

HINTS_WAITING: Final = 10_000  # for a listener that hangs; older ones are dropped


class _Listener:
    """The queue of one listener, and what has come out of it."""

    def __init__(self, exchange: str, on_body: Callable[[bytes], None], topology: Topology) -> None:
        self._exchange = exchange
        self._on_body = on_body
        self._topology = topology
        self._queue: str | None = None
        self._arrived = 0

    async def on_up(self, link: Link, connection: AbstractConnection) -> AbstractChannel:
        channel = await connection.channel(publisher_confirms=False)
        await declare(channel, self._topology)
        queue = await channel.declare_queue(
            exclusive=True, auto_delete=True, arguments={"x-max-length": HINTS_WAITING}
        )
        await rebuild_when_cancelled(channel, link)
        await queue.bind(self._exchange, "#")
        await queue.consume(self._on_message, no_ack=True)
        self._queue = queue.name
        return channel

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        self._arrived += 1
        self._on_body(message.body)

    def vitals(self) -> Vitals | None:
        if self._queue is None:
            return None
        return Vitals(queue=self._queue, arrived=self._arrived, in_work=0, free=True)


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
    heartbeats. What is published while the link is down is not seen.
    """
    listener = _Listener(exchange, on_body, topology)
    async with (
        open_link(url, name=f"{name} listener", on_up=listener.on_up) as link,
        beside(Watchdog(link, listener.vitals).run()),
    ):
        yield link
