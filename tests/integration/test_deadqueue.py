"""Taking dead letters out of their queues, and asking workers, at a real RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from photo_pipeline.broker.consume import consuming
from photo_pipeline.broker.deadqueue import DeadQueues
from photo_pipeline.broker.deliveries import Delivery, Limits, Verdict
from photo_pipeline.broker.publisher import Publisher, open_publisher
from photo_pipeline.broker.topology import Names, Topology, build_topology
from photo_pipeline.broker.trial import ask
from photo_pipeline.domain.casefile import case_id
from photo_pipeline.domain.messages import TrialAnswer, TrialMessage
from photo_pipeline.domain.photo import utc_now
from photo_pipeline.errors import BrokerUnavailableError, TrialUnansweredError
from photo_pipeline.settings import Settings
from support.pipeline import TRACE
from support.waiting import until

NOBODY = "amqp://guest:guest@127.0.0.1:1/"


@dataclass
class Dead:
    """The dead letters of one stage, their copies, and whoever deals with them."""

    url: str
    names: Names
    topology: Topology
    publisher: Publisher
    channel: AbstractChannel
    queues: DeadQueues

    async def bury(self, body: bytes) -> str:
        await self.publisher.bury(
            body, key="first", message_id="m", photo_id=None, headers={"traceparent": TRACE}
        )
        return case_id("first", "m", body)

    async def bodies(self, queue: str) -> list[bytes]:
        source = await self.channel.get_queue(queue, ensure=False)
        found = []
        while (message := await source.get(fail=False, no_ack=True)) is not None:
            found.append(message.body)
        return found

    async def count(self) -> int:
        queue = await self.channel.declare_queue(self.names.dead_queue("first"), passive=True)
        return queue.declaration_result.message_count or 0


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Dead]:
    names = Names(settings.broker.topology_prefix)
    topology = build_topology(names, stages=("first",), subscribers=(), retry_delays_s=(0.3,))
    url = settings.broker.amqp_url
    async with (
        await aio_pika.connect(url) as connection,
        open_publisher(url, name="test", names=names, topology=topology) as publisher,
    ):
        await publisher.up(30)
        channel = await connection.channel()
        yield Dead(url, names, topology, publisher, channel, DeadQueues(url, names, case_id))
        for queue in topology.queues:
            await channel.queue_delete(queue.name)


@pytest.fixture
async def dead(settings: Settings) -> AsyncIterator[Dead]:
    async with _opened(settings) as dead:
        yield dead


async def test_the_broker_copies_each_to_the_files_and_only_what_is_named_is_taken_out(
    dead: Dead,
) -> None:
    bodies = [f"body {number}".encode() for number in range(20)]
    ids = [await dead.bury(body) for body in bodies]
    taken = asyncio.gather(  # at the same time, and yet each finds its own
        *(dead.queues.take_out("first", ids[start:12:4]) for start in range(4)),
        dead.queues.take_out("first", ["nothing"]),
    )
    assert await taken == [3, 3, 3, 3, 0]

    async def all_back() -> bool:
        return await dead.count() == 8

    assert await until(all_back)
    assert await dead.queues.take_out("first", ids[:12]) == 0
    assert await dead.bodies(dead.names.dead_queue("first")) == bodies[12:]
    assert await dead.bodies(dead.names.dead_files) == bodies


async def test_what_lies_too_deep_stays(dead: Dead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photo_pipeline.broker.deadqueue.LOOKED_AT", 2)
    ids = [await dead.bury(f"body {number}".encode()) for number in range(4)]
    assert await dead.queues.take_out("first", ids[3:]) == 0
    assert await dead.queues.take_out("first", ids) == 2
    remaining = await until(lambda: dead.bodies(dead.names.dead_queue("first")))
    assert remaining == [b"body 2", b"body 3"]


def _trial(seconds: float) -> TrialMessage:
    before = utc_now() + timedelta(seconds=seconds)
    return TrialMessage(photo_id="p", stage="first", answer_before=before)


async def test_a_worker_is_asked_and_its_answer_comes_back(dead: Dead) -> None:
    answer = TrialAnswer(
        photo_id="p", stage="first", worker="w", version="1", work_ms=3, error=None
    )

    async def handle(delivery: Delivery) -> Verdict:
        assert TrialMessage.decode(delivery.body).photo_id == delivery.correlation_id
        assert delivery.reply_to is not None
        for _ in range(2):  # a repeat changes nothing
            await dead.publisher.reply(answer, to=delivery.reply_to, traceparent=TRACE)
        await dead.publisher.reply(answer, to="somebody.who.has.gone", traceparent=TRACE)
        return Verdict.ACK

    async with consuming(
        dead.url,
        dead.names.stage_queue("first"),
        handle,
        name="test",
        topology=dead.topology,
        limits=Limits(prefetch=1, handling_s=10, grace_s=5),
        writable=dead.publisher.up,
    ):
        assert await ask(dead.url, dead.names, _trial(30), TRACE) == answer


async def test_without_an_answer_in_time_that_is_told(dead: Dead) -> None:
    with pytest.raises(TrialUnansweredError, match="no worker of first"):
        await ask(dead.url, dead.names, _trial(0.3), TRACE)
    await dead.channel.queue_delete(dead.names.stage_queue("first"))
    with pytest.raises(TrialUnansweredError, match="nobody works"):
        await ask(dead.url, dead.names, _trial(5), TRACE)


async def test_without_a_broker_that_is_told() -> None:
    with pytest.raises(BrokerUnavailableError):
        await ask(NOBODY, Names(), _trial(5), TRACE)
    with pytest.raises(BrokerUnavailableError):
        await DeadQueues(NOBODY, Names(), case_id).take_out("first", ["a"])
