"""An independent subscriber: its own queue on ``processed_images``."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage, AbstractQueue

from photo_pipeline.broker.topology import Names, build_topology, declare
from photo_pipeline.domain.messages import OutcomeEvent
from photo_pipeline.settings import each_host
from support.pipeline import TRACE
from support.processes import Space
from support.waiting import until


@asynccontextmanager
async def watching_outcomes(space: Space) -> AsyncIterator["Watcher"]:
    """Declare the pipeline's topology and bind a quorum queue of our own to the fanout."""
    names = Names(space.prefix)
    topology = build_topology(
        names,
        retry_delays_s=map(float, space.environment["PHOTO_RETRY_DELAYS_S"].split(",")),
    )
    async with await aio_pika.connect(
        each_host(space.environment["PHOTO_AMQP_URL"])[0]
    ) as connection:
        channel = await connection.channel()
        await declare(channel, topology)
        queue = await channel.declare_queue(
            f"{space.name}.watcher", durable=True, arguments={"x-queue-type": "quorum"}
        )
        await queue.bind(names.outcomes)
        outcomes = await channel.get_exchange(names.outcomes, ensure=False)
        yield Watcher(space, queue, outcomes, [q.name for q in topology.queues])


class Watcher:
    """Reads what subscribers are told, and what still lies in the queues."""

    def __init__(
        self, space: Space, queue: AbstractQueue, outcomes: AbstractExchange, queues: list[str]
    ) -> None:
        self._space = space
        self._queue = queue
        self._outcomes = outcomes
        self._queues = queues

    async def events(self) -> list[OutcomeEvent]:
        """Take every event that has arrived."""
        return [OutcomeEvent.decode(m.body) for m in await _drain(self._queue)]

    async def tell(self, *events: OutcomeEvent) -> None:
        """Publish *events* to every subscriber, as the last stage does."""
        for event in events:
            message = aio_pika.Message(
                event.encode(),
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                message_id=event.event_id,
                correlation_id=event.photo_id,
                headers={"traceparent": TRACE},
            )
            await self._outcomes.publish(message, "", mandatory=False)

    async def dead(self, key: str) -> list[tuple[bytes, Mapping[str, Any]]]:
        """Take the dead letters of *key*: body and headers."""
        name = Names(self._space.prefix).dead_queue(key)
        queue = await self._queue.channel.get_queue(name, ensure=False)
        return [(m.body, m.headers) for m in await _drain(queue)]

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
                name: [m.body for m in await _drain(await channel.get_queue(name, ensure=False))]
                for name in self._queues
            }
        return {name: bodies for name, bodies in found.items() if bodies}


async def _drain(queue: AbstractQueue) -> list[AbstractIncomingMessage]:
    found = []
    while (message := await queue.get(fail=False, no_ack=True)) is not None:
        found.append(message)
    return found
