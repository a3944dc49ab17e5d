"""A RabbitMQ cluster and a MongoDB replica set that lose a member each, in the middle of work."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import aio_pika
import pytest

from photo_pipeline.broker.topology import Names
from photo_pipeline.domain.pipeline import PIPELINE
from photo_pipeline.embedded.cluster import HOSTS, EmbeddedCluster, embedded_cluster
from photo_pipeline.embedded.rabbitmq import RabbitMQ
from photo_pipeline.settings import each_host
from photo_pipeline.storage.replica_set import primary_of
from support.outcomes import watching_outcomes
from support.processes import SAMPLES, Fleet, Served, Space
from support.waiting import until

PHOTO: Final = SAMPLES / "rocket-adobe-rgb.jpg"
BURST: Final = 15
RESUMED_WITHIN_S: Final = 30
SETTLING_S: Final = 2.5  # as in test_outages


# Not list_queues, which has every node answer to the tool: nothing can connect to ours.
QUEUES: Final = """
    [{element(4, amqqueue:get_name(Q)), element(2, amqqueue:get_pid(Q)),
      length(maps:get(nodes, amqqueue:get_type_state(Q)))}
     || Q <- rabbit_amqqueue:list(), amqqueue:get_type(Q) =:= rabbit_quorum_queue].
"""
QUEUE: Final = re.compile(r"""{<<"([^"]+)">>,\s*'([^']+)',\s*(\d+)}""")


async def _leaders(node: RabbitMQ) -> dict[str, tuple[str, int]]:
    """Return the leader's node and the number of members of every queue."""
    told = await node.rabbitmqctl("eval", QUEUES)
    return {name: (leader, int(members)) for name, leader, members in QUEUE.findall(told)}


async def _done(fleet: Fleet, api: Served, ids: Sequence[str]) -> int:
    documents = await asyncio.gather(*(fleet.status(api, i) for i in ids), return_exceptions=True)
    return sum(isinstance(d, dict) and d["status"] == "done" for d in documents)


async def _resumed_after_s(fleet: Fleet, api: Served, ids: Sequence[str], done: int) -> float:
    """Wait until two more than *done* photos are done; return the seconds it took."""
    began = time.monotonic()

    async def moved() -> bool:
        return await _done(fleet, api, ids) >= done + 2

    await until(moved, within_s=90, every_s=0.5)
    return time.monotonic() - began


async def _burst(fleet: Fleet, api: Served, ids: list[str]) -> int:
    """Upload so many photos at once that they take a while; return how many of all are done."""
    ids += await asyncio.gather(*(fleet.upload(api, PHOTO) for _ in range(BURST)))
    done = await _done(fleet, api, ids)
    assert done <= len(ids) - 3, "no work left to lose"
    return done


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[EmbeddedCluster]:
    async with embedded_cluster(tmp_path / "cluster") as cluster:
        yield cluster
        # Without its quorum a node takes ten seconds to stop.
        await asyncio.gather(*(node.kill() for node in cluster.rabbitmq))


async def test_the_loss_of_a_queues_leader_and_of_the_primary_loses_nothing(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    space = Space.on(cluster, name="cluster", storage=tmp_path / "photos")
    names = Names(space.prefix)
    async with watching_outcomes(space):
        pass  # its queue stays
    async with Fleet(space) as fleet:
        settled = asyncio.create_task(asyncio.sleep(SETTLING_S))
        api, *_ = await asyncio.gather(
            fleet.start_api("api,reconcile"), fleet.start("resize"), fleet.start("watermark,detect")
        )
        await settled

        leaders = await _leaders(cluster.rabbitmq[0])
        assert {leaders[names.stage_queue(stage)][1] for stage in PIPELINE} == {len(HOSTS)}
        assert {members for _, members in leaders.values()} == {len(HOSTS)}

        ids: list[str] = []
        host = leaders[names.stage_queue("resize")][0].rpartition("@")[2]
        done = await _burst(fleet, api, ids)
        await cluster.rabbitmq[HOSTS.index(host)].kill()
        assert await _resumed_after_s(fleet, api, ids, done) < RESUMED_WITHIN_S

        primary = await primary_of(cluster.mongo_url)
        (member,) = [m for m in cluster.mongod if f"{m.launch.listens_on[0]}" in str(primary)]
        done = await _burst(fleet, api, ids)
        await member.kill()
        assert await _resumed_after_s(fleet, api, ids, done) < RESUMED_WITHIN_S

        documents = await fleet.outcomes(api, ids, within_s=120)
        assert [document["status"] for document in documents] == ["done"] * len(ids)
        assert await primary_of(cluster.mongo_url) not in (None, primary)
    left = next(url for url in each_host(space.environment["PHOTO_AMQP_URL"]) if host not in url)
    told = await _told(left, f"{space.name}.watcher")
    assert set(told.values()) == set(ids)
    assert len(told) == len(ids), "a photo had two outcomes"


async def _told(url: str, queue: str) -> dict[str, str]:
    """Return the id of every outcome event in *queue*, with its photo's."""
    told: dict[str, str] = {}
    async with await aio_pika.connect(url) as connection:
        source = await (await connection.channel()).get_queue(queue, ensure=False)
        while (message := await source.get(no_ack=True, fail=False)) is not None:
            told[str(message.message_id)] = str(message.correlation_id)
    return told
