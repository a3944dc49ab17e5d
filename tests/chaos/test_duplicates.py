"""Every message twice and at the same time: the same bytes, one outcome."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from photo_pipeline.broker.topology import Names
from photo_pipeline.domain.pipeline import PIPELINE
from support.outcomes import watching_outcomes
from support.processes import SAMPLES, Fleet, Space
from support.waiting import until

PHOTO = SAMPLES / "rocket-adobe-rgb.jpg"
PHOTOS = 8
AGAIN = "x-again"


@asynccontextmanager
async def _doubling(space: Space) -> AsyncIterator[list[str]]:
    """Publish everything that is published to a stage once more; yield the keys of it."""
    doubled: list[str] = []
    names = Names(space.prefix)
    async with await aio_pika.connect(space.environment["PHOTO_AMQP_URL"]) as connection:
        channel = await connection.channel()
        work = await channel.get_exchange(names.work)
        queue = await channel.declare_queue(exclusive=True)

        async def again(message: AbstractIncomingMessage) -> None:
            if AGAIN in message.headers or message.routing_key is None:
                return
            copy = aio_pika.Message(
                message.body,
                headers={**message.headers, AGAIN: True},
                content_type=message.content_type,
                message_id=message.message_id,
                correlation_id=message.correlation_id,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            )
            await work.publish(copy, message.routing_key)
            doubled.append(message.routing_key)

        for stage in PIPELINE:
            await queue.bind(work, stage)
        await queue.consume(again, no_ack=True)
        yield doubled


async def test_every_message_twice_and_in_parallel_makes_one_outcome_and_one_set_of_bytes(
    fleet: Fleet, space: Space
) -> None:
    api = await fleet.start_api("api")
    for _ in range(2):
        await fleet.start("workers")
    async with watching_outcomes(space) as watcher, _doubling(space) as doubled:
        ids = [await fleet.upload(api, PHOTO) for _ in range(PHOTOS)]
        documents = await fleet.outcomes(api, ids)

        async def at_rest() -> bool:
            async with fleet.http.get(f"{api.url}/queues") as answer:
                stages = (await answer.json())["stages"]
            return not any(row["ready"] + row["running"] for row in stages)

        await until(at_rest)
        assert len(doubled) >= PHOTOS * len(PIPELINE), "so many at least were doubled"
        assert {d["status"] for d in documents} == {"done"}
        events = await until(watcher.events)
        assert {event.photo_id for event in events} == set(ids)
        assert len({event.event_id for event in events}) == PHOTOS
    named = {r["sha256"]: r["bytes"] for d in documents for r in d["renditions"]}
    per_photo = {tuple(sorted(r["sha256"] for r in d["renditions"])) for d in documents}
    assert len(per_photo) == 1, "of the same upload, the same bytes each time"
    originals = {d["sha256"] for d in documents}
    kept = [path.read_bytes() for path in space.files()]
    assert {hashlib.sha256(data).hexdigest() for data in kept} == set(named) | originals
    assert len(kept) == sum(1 + len(d["renditions"]) for d in documents), "no file too many"
