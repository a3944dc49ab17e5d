"""The status stream under cuts, a killed replica and a restarted broker."""

import asyncio
import random
from typing import Any

from photo_pipeline.domain.photo import utc_now
from photo_pipeline.embedded.launcher import EmbeddedServers
from support.followers import (
    Bench,
    Follower,
    FollowerOfAll,
    over_events,
    over_long_poll,
    over_websocket,
)
from support.processes import SAMPLES, Fleet
from support.waiting import until

PHOTO = SAMPLES / "cat-small.jpg"
PHOTOS = 100
CUTS = 20
CUTS_BEFORE = 17
"""Of them while the photos wait. A photo has seven changes more, and no connection sees more
than two of them: three further cuts at least are while it is worked on."""

WAYS = (*[over_websocket] * 12, *[over_events] * 5, *[over_long_poll] * 3)
SEED = 20260131


async def test_100_clients_cut_20_times_each_miss_nothing_and_see_nothing_twice(
    fleet: Fleet, servers: EmbeddedServers
) -> None:
    first, second = await asyncio.gather(fleet.start_api("api,reconcile"), fleet.start_api())
    chance = random.Random(SEED)  # noqa: S311  # it is to repeat itself
    bench = Bench(fleet.http, [first.url, second.url], chance)
    of_all = [FollowerOfAll(bench, since) for since in (None, None, utc_now(), utc_now())]
    async with asyncio.TaskGroup() as group:
        endless = [group.create_task(follower.follow()) for follower in of_all]
        await until(lambda: _all_have(of_all, lambda follower: follower.since is not None))
        ids = [await fleet.upload(first, PHOTO) for _ in range(PHOTOS)]
        followers = [Follower(bench, photo_id) for photo_id in ids]
        for n, follower in enumerate(followers):
            group.create_task(follower.follow(WAYS[n % len(WAYS)]))
        await until(lambda: _all_have(followers, lambda f: f.cuts >= CUTS_BEFORE), within_s=60)
        bench.patience_s = 3.0
        await fleet.start("workers")

        await until(lambda: _ended(followers, 20), within_s=60)
        await servers.rabbitmq.kill()
        await servers.rabbitmq.start()
        await until(lambda: _ended(followers, 50), within_s=60)
        second.kill()
        await until(lambda: _ended(followers, 70), within_s=60)
        bench.urls.append((await fleet.start_api()).url)
        bench.urls.remove(second.url)
        await until(lambda: _ended(followers, PHOTOS), within_s=60)

        documents = await fleet.outcomes(first, ids)
        await until(lambda: _complete(of_all, documents))
        for task in endless:
            task.cancel()

    for n, (follower, document) in enumerate(zip(followers, documents, strict=True)):
        _assert_same(follower.frames, document)
        assert set(follower.codes) <= {1000, 1006, None}
        if WAYS[n % len(WAYS)] is not over_long_poll:
            assert follower.cuts >= CUTS
    for one in of_all:
        for document in documents:
            _assert_same(one.seen[document["id"]], document)


async def test_what_happens_while_the_broker_is_away_is_told_all_the_same(
    fleet: Fleet, servers: EmbeddedServers
) -> None:
    """No hint can come: a deletion needs no broker, and is told at the other replica."""
    first, second = await asyncio.gather(fleet.start_api(), fleet.start_api())
    one, other = [await fleet.upload(first, PHOTO) for _ in range(2)]
    async with fleet.http.ws_connect(f"{second.url}/ws") as all_, asyncio.timeout(60):
        assert len((await all_.receive_json())["photos"]) == 2
        await servers.rabbitmq.kill()
        await fleet.until_ready(second, ready=False)
        polling = asyncio.create_task(fleet.status(second, one, wait_s=60))
        async with fleet.http.ws_connect(f"{second.url}/ws/{one}?since=0") as stream:
            assert (await stream.receive_json())["type"] == "photo.queued"
            async with fleet.http.delete(f"{first.url}/photos/{one}") as answer:
                assert answer.status == 202
            assert (await stream.receive_json())["type"] == "photo.deleted"
        assert (await polling)["status"] == "deleted"
        assert (await all_.receive_json())["photo_id"] == one

        await servers.rabbitmq.start()
        await fleet.until_ready(second)
        await fleet.until_ready(first)
        async with fleet.http.delete(f"{first.url}/photos/{other}") as answer:
            assert answer.status == 202
        assert (await all_.receive_json())["photo_id"] == other


def _assert_same(frames: list[dict[str, Any]], document: dict[str, Any]) -> None:
    """Check that *frames* are the whole timeline, in order, each once."""
    assert document["status"] == "done"
    assert [f["revision"] for f in frames] == list(range(1, document["revision"] + 1))
    told = [{k: v for k, v in f.items() if k != "photo_id"} for f in frames]
    assert told == [{k: v for k, v in e.items() if v is not None} for e in document["timeline"]]


async def _all_have(followers: list[Any], fact: Any) -> bool:
    return all(map(fact, followers))


async def _ended(followers: list[Follower], count: int) -> bool:
    return sum(follower.ended for follower in followers) >= count


async def _complete(of_all: list[FollowerOfAll], documents: list[dict[str, Any]]) -> bool:
    return all(len(one.seen[d["id"]]) >= d["revision"] for one in of_all for d in documents)
