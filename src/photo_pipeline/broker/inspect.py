"""Looking at queues from outside: how much waits, and who consumes."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aio_pika.abc import AbstractChannel, AbstractConnection

from photo_pipeline.broker.connection import Link, open_link, translated
from photo_pipeline.broker.topology import Topology, declare

TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class QueueCount:
    """Messages that wait (those being worked on not counted), and consumers."""

    ready: int
    consumers: int


@asynccontextmanager
async def looking(url: str, *, name: str, topology: Topology) -> AsyncIterator[Link]:
    """Keep a connection up that is for counting only, as long as the block runs."""

    async def on_up(_: Link, connection: AbstractConnection) -> AbstractChannel:
        channel = await connection.channel(publisher_confirms=False)
        await declare(channel, topology)
        return channel

    async with open_link(url, name=f"{name} looker", on_up=on_up) as link:
        yield link


async def count(link: Link, queues: Iterable[str]) -> dict[str, QueueCount]:
    """Return the counts of *queues*, which must exist; takes no message out of any.

    RabbitMQ counts nothing in a queue whose leader is away, as while it starts: 0 proves that
    a queue is empty only after a publish into it was confirmed.

    *link* must not be a publishing one: under a memory alarm RabbitMQ answers nothing on those.
    A queue that is missing ends the link's channel, which then declares everything again.
    Raises BrokerUnavailableError.
    """
    with translated():
        channel = await link.channel(timeout_s=0)
        async with asyncio.timeout(TIMEOUT_S):
            results = {
                name: (await channel.declare_queue(name, passive=True)).declaration_result
                for name in queues
            }
    return {
        name: QueueCount(ready=result.message_count or 0, consumers=result.consumer_count or 0)
        for name, result in results.items()
    }
