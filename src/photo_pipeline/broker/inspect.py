"""Looking at queues from outside: how much waits, and who consumes."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from photo_pipeline.broker.connection import Link, translated

TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class QueueCount:
    """Messages that wait (those being worked on not counted), and consumers."""

    ready: int
    consumers: int


async def count(link: Link, queues: Iterable[str]) -> dict[str, QueueCount]:
    """Return the counts of *queues*, which must exist; takes no message out of any.

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
