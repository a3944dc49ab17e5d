"""A topology of a test's own on a real RabbitMQ, and how to consume from it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import aio_pika
from aio_pika.abc import AbstractChannel

from photo_pipeline.broker.connection import Link
from photo_pipeline.broker.consume import Consumer, consuming
from photo_pipeline.broker.deliveries import Delivery, Handler, Limits, Verdict
from photo_pipeline.broker.publisher import Publisher, open_publisher
from photo_pipeline.broker.topology import Names, Topology, build_topology
from photo_pipeline.errors import BrokerUnavailableError
from photo_pipeline.settings import Settings
from support.waiting import until

STAGES = ("first", "second")


@dataclass
class Broker:
    """A topology of this test's own."""

    url: str
    names: Names
    topology: Topology
    publisher: Publisher
    channel: AbstractChannel
    seen: list[Delivery] = field(default_factory=list)

    async def bodies(self, queue: str) -> list[bytes]:
        """Drain a queue by reading it: counts of quorum queues lag behind."""
        source = await self.channel.get_queue(f"{self.names.prefix}{queue}", ensure=False)
        found = []
        while (message := await source.get(fail=False, no_ack=True)) is not None:
            found.append(message.body)
        return found

    async def collect(self, delivery: Delivery) -> Verdict:
        self.seen.append(delivery)
        return Verdict.ACK


@asynccontextmanager
async def open_broker(settings: Settings) -> AsyncIterator[Broker]:
    """Declare a topology of stages, subscribers and delays; remove it in the end."""
    names = Names(settings.broker.topology_prefix)
    topology = build_topology(
        names, stages=STAGES, subscribers=("monitor", "other"), retry_delays_s=(0.3, 0.6)
    )
    url = settings.broker.amqp_url
    async with (
        await aio_pika.connect(url) as connection,
        open_publisher(url, name="test", names=names, topology=topology) as publisher,
    ):
        channel = await connection.channel()
        await until(is_up(publisher))
        yield Broker(url, names, topology, publisher, channel)
        for queue in topology.queues:
            await channel.queue_delete(queue.name)
        for exchange in topology.exchanges:
            await channel.exchange_delete(exchange.name)


def is_up(opened: Publisher | Link | Consumer) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        try:
            await opened.check()
        except BrokerUnavailableError:
            return False
        return True

    return asked


def consuming_first(
    broker: Broker, handler: Handler, *, prefetch: int = 1, handling_s: float = 60
) -> AbstractAsyncContextManager[Consumer]:
    """Consume the queue of the first stage, as a role does."""
    queue = f"{broker.names.prefix}first"
    return consuming(
        broker.url,
        queue,
        handler,
        name="test",
        topology=broker.topology,
        limits=Limits(prefetch=prefetch, handling_s=handling_s, grace_s=5),
        writable=broker.publisher.writable,
    )
