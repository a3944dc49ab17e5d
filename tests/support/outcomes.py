"""An independent subscriber: its own queue on ``processed_images``."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractQueue

from photo_pipeline.broker.topology import Names, build_topology, declare
from photo_pipeline.domain.messages import OutcomeEvent
from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS
from support.processes import Space
from support.waiting import until


@asynccontextmanager
async def watching_outcomes(space: Space) -> AsyncIterator["Watcher"]:
    """Declare the pipeline's topology and bind a quorum queue of our own to the fanout."""
    names = Names(space.environment["PHOTO_TOPOLOGY_PREFIX"])
    topology = build_topology(
        names,
        stages=PIPELINE,
        subscribers=SUBSCRIBERS,
        retry_delays_s=map(float, space.environment["PHOTO_RETRY_DELAYS_S"].split(",")),
    )
    async with await aio_pika.connect(space.environment["PHOTO_AMQP_URL"]) as connection:
        channel = await connection.channel()
        await declare(channel, topology)
        queue = await channel.declare_queue(
            f"{space.name}.watcher", durable=True, arguments={"x-queue-type": "quorum"}
        )
        await queue.bind(names.outcomes)
        yield Watcher(space, queue, [q.name for q in topology.queues])


async def tell(space: Space, events: Iterable[OutcomeEvent]) -> None:
    """Publish *events* to every subscriber, as the last stage of a photo does."""
    names = Names(space.environment["PHOTO_TOPOLOGY_PREFIX"])
    async with await aio_pika.connect(space.environment["PHOTO_AMQP_URL"]) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(names.outcomes)
        for event in events:
            await exchange.publish(aio_pika.Message(event.encode()), "", mandatory=False)


class Watcher:
    """Reads what subscribers are told, and what still lies in the queues."""

    def __init__(self, space: Space, queue: AbstractQueue, queues: list[str]) -> None:
        self._space = space
        self._queue = queue
        self._queues = queues

    async def events(self) -> list[OutcomeEvent]:
        """Take every event that has arrived."""
        return [OutcomeEvent.decode(body) for body in await self._drain(self._queue)]

    async def told(self, count: int) -> list[OutcomeEvent]:
        """Take events until there are *count* of them."""
        events: list[OutcomeEvent] = []

        async def enough() -> bool:
            events.extend(await self.events())
            return len(events) >= count

        await until(enough)
        return events

    async def left(self) -> dict[str, list[bytes]]:
        """Take what still lies in the pipeline's queues, by queue; empty when nothing does."""
        async with await aio_pika.connect(self._space.environment["PHOTO_AMQP_URL"]) as connection:
            channel = await connection.channel()
            found = {
                name: await self._drain(await channel.get_queue(name, ensure=False))
                for name in self._queues
            }
        return {name: bodies for name, bodies in found.items() if bodies}

    async def _drain(self, queue: AbstractQueue) -> list[bytes]:
        found = []
        while (message := await queue.get(fail=False, no_ack=True)) is not None:
            found.append(message.body)
        return found
