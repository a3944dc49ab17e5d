"""Counting what waits in queues, at a real RabbitMQ."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from photo_pipeline.broker.connection import Link
from photo_pipeline.broker.inspect import QueueCount, count
from photo_pipeline.broker.listen import listening
from photo_pipeline.broker.topology import Names, build_topology
from photo_pipeline.errors import BrokerUnavailableError
from photo_pipeline.settings import Settings
from support.waiting import until


@dataclass
class Watched:
    """The link of an API process, and a channel of somebody else."""

    link: Link
    channel: AbstractChannel
    names: Names

    async def counts(self) -> dict[str, QueueCount]:
        return await count(
            self.link, [self.names.stage_queue("first"), self.names.dead_queue("first")]
        )

    async def shows(self, ready: int, consumers: int) -> bool:
        seen = (await self.counts())[self.names.stage_queue("first")]
        return seen == QueueCount(ready=ready, consumers=consumers)

    async def is_up(self) -> bool:
        try:
            await self.counts()
        except BrokerUnavailableError:
            return False
        return True


@asynccontextmanager
async def _watching(settings: Settings) -> AsyncIterator[Watched]:
    names = Names(settings.broker.topology_prefix)
    topology = build_topology(names, stages=("first",), subscribers=(), retry_delays_s=(0.3,))
    url = settings.broker.amqp_url
    async with (
        await aio_pika.connect(url) as connection,
        listening(url, names.status, lambda _: None, name="test", topology=topology) as link,
    ):
        watched = Watched(link, await connection.channel(), names)
        await until(watched.is_up)
        yield watched
        for queue in topology.queues:
            await watched.channel.queue_delete(queue.name)
        for exchange in topology.exchanges:
            await watched.channel.exchange_delete(exchange.name)


async def _keep(_: AbstractIncomingMessage) -> None:
    """Settle nothing."""


async def test_what_waits_is_counted_and_nothing_taken(settings: Settings) -> None:
    async with _watching(settings) as watched:
        first, dead = await watched.counts()
        assert await watched.counts() == {first: QueueCount(0, 0), dead: QueueCount(0, 0)}
        work = await watched.channel.get_exchange(watched.names.work)
        for _ in range(3):
            await work.publish(aio_pika.Message(b"{}"), "first")
        await until(partial(watched.shows, 3, 0))
        async with await aio_pika.connect(settings.broker.amqp_url) as other:
            channel = await other.channel()
            await channel.set_qos(prefetch_count=1)
            await (await channel.get_queue(first)).consume(_keep)  # takes one
            await until(partial(watched.shows, 2, 1))
        await until(partial(watched.shows, 3, 0))


async def test_a_missing_queue_is_told_and_declared_again(settings: Settings) -> None:
    async with _watching(settings) as watched:
        with pytest.raises(BrokerUnavailableError):
            await count(watched.link, ["no.such.queue"])
        await watched.channel.queue_delete(watched.names.stage_queue("first"))
        with pytest.raises(BrokerUnavailableError):
            await watched.counts()
        await until(watched.is_up)


async def test_without_a_connection_that_is_told_at_once() -> None:
    async with listening(
        "amqp://guest:guest@127.0.0.1:1/",
        "photo_events",
        lambda _: None,
        name="test",
        topology=build_topology(Names(), stages=(), subscribers=(), retry_delays_s=()),
    ) as link:
        with pytest.raises(BrokerUnavailableError):
            await count(link, ["first"])
