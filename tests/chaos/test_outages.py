"""Servers that die and come back, under roles that stay."""

import asyncio
import os

from photo_pipeline.embedded.launcher import EmbeddedServers
from support.outcomes import watching_outcomes
from support.processes import SAMPLES, Fleet, Space
from support.stack import tell
from support.waiting import until

PHOTO = SAMPLES / "rocket-adobe-rgb.jpg"
LARGE = SAMPLES / "dandelion-16mp.jpg"
SMALL = SAMPLES / "cat-small.jpg"

BROKER_AWAY_S = float(os.environ.get("TEST_BROKER_AWAY_S", "5"))

SETTLING_S = 2.5
"""RabbitMQ loses a queue for good when it is killed within a second of the queue's first
declaration (its table of raft members is saved every 0.5 s): not what these tests are about. A
clean stop saves it."""


async def test_the_broker_is_killed_under_50_photos_and_no_role_restarts(
    fleet: Fleet, space: Space, servers: EmbeddedServers
) -> None:
    async with watching_outcomes(space) as watcher:
        settled = asyncio.create_task(asyncio.sleep(SETTLING_S))
        api = await fleet.start_api("api,reconcile")
        workers = [
            await fleet.start(role) for role in ("resize", "watermark,detect", "subscribers")
        ]
        await settled
        ids = await asyncio.gather(*(fleet.upload(api, PHOTO) for _ in range(50)))

        async def some_done() -> bool:
            documents = await asyncio.gather(*(fleet.status(api, i) for i in ids))
            return len([d for d in documents if d["status"] == "done"]) >= 5

        await until(some_done)
        await servers.rabbitmq.kill()
        await fleet.until_ready(api, ready=False)
        await servers.rabbitmq.start()
        documents = await fleet.outcomes(api, ids, within_s=150)
        assert [d["status"] for d in documents] == ["done"] * 50
        for process in (api, *workers):
            await fleet.until_ready(process)
            assert process.process.returncode is None
    async with watching_outcomes(space) as watcher:
        events = await until(watcher.events)
        assert {event.photo_id for event in events} == set(ids)
        assert len({event.event_id for event in events}) == 50, "a photo had two outcomes"

        async def nothing_left() -> bool:
            return await watcher.left() == {}

        await until(nothing_left)


async def test_40_uploads_are_accepted_while_the_broker_is_away(
    fleet: Fleet, servers: EmbeddedServers
) -> None:
    """Answered 202, done when it is back; not ready meanwhile; nobody restarts."""
    api, workers = await asyncio.gather(
        fleet.start_api("api,reconcile"), fleet.start("workers,subscribers")
    )
    processes = (api, workers)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(SETTLING_S)
    await servers.rabbitmq.stop()
    back_at = loop.time() + BROKER_AWAY_S
    for process in processes:
        await fleet.until_ready(process, ready=False)
    ids = await asyncio.gather(*(fleet.upload(api, SMALL) for _ in range(40)))  # asserts the 202
    assert {(await fleet.status(api, i))["status"] for i in ids} == {"queued"}
    await asyncio.sleep(max(0, back_at - loop.time()))
    for process in processes:
        await fleet.until_ready(process, ready=False)
    await servers.rabbitmq.start()
    started = loop.time()
    documents = await fleet.outcomes(api, ids, within_s=180)
    assert [d["status"] for d in documents] == ["done"] * 40
    assert {s["attempts"] for d in documents for s in d["stages"]} == {1}
    tell(f"away for {BROKER_AWAY_S:g} s, 40 photos done {loop.time() - started:.1f} s later")
    for process in processes:
        await fleet.until_ready(process)
        assert process.process.returncode is None


async def test_a_connection_closed_by_force_while_a_photo_is_in_work_costs_no_photo(
    fleet: Fleet, servers: EmbeddedServers
) -> None:
    """As an operator closes it: every connection of every role at once."""
    api = await fleet.start_api("api,watermark,detect")
    stage = await fleet.start("resize")
    ids = [await fleet.upload(api, LARGE) for _ in range(2)]

    async def in_work() -> bool:
        documents = [await fleet.status(api, i) for i in ids]
        return any(d["stages"][0]["status"] == "running" for d in documents)

    await until(in_work)
    await servers.rabbitmq.rabbitmqctl("close_all_connections", "on purpose")
    await fleet.until_ready(stage)
    documents = await fleet.outcomes(api, ids, within_s=120)
    assert [d["status"] for d in documents] == ["done"] * 2
    for document in documents:
        ends = [e["type"] for e in document["timeline"] if e["type"].startswith("photo.")]
        assert ends == ["photo.queued", "photo.done"]
    assert (api.process.returncode, stage.process.returncode) == (None, None)


async def test_without_the_broker_queues_are_not_told_and_photos_deleted_all_the_same(
    fleet: Fleet, space: Space, servers: EmbeddedServers
) -> None:
    api = await fleet.start_api()
    photo_id = await fleet.upload(api, PHOTO)
    await servers.rabbitmq.stop()
    await fleet.until_ready(api, ready=False)

    async def unknown() -> bool:
        async with fleet.http.get(f"{api.url}/queues") as answer:
            if answer.status == 200:
                return False
            assert answer.status == 503
            assert answer.headers["Retry-After"]
            return bool((await answer.json())["code"] == "broker_unavailable")

    await until(unknown)
    async with fleet.http.delete(f"{api.url}/photos/{photo_id}") as answer:
        assert answer.status == 202

    async def erased() -> bool:
        return space.files() == []

    await until(erased)
    await servers.rabbitmq.start()

    async def known() -> bool:
        async with fleet.http.get(f"{api.url}/queues") as answer:
            return answer.status == 200

    await until(known)


async def test_a_debt_of_a_killed_api_is_paid(fleet: Fleet, servers: EmbeddedServers) -> None:
    """Accepted with the broker away, then the process dies: only the document knows."""
    api = await fleet.start_api()
    await servers.rabbitmq.stop()
    photo_id = await fleet.upload(api, PHOTO)
    api.kill()
    await api.process.wait()
    await servers.rabbitmq.start()
    api = await fleet.start_api("api,workers,reconcile")
    assert (await fleet.outcome(api, photo_id))["status"] == "done"


async def test_the_database_is_killed_and_comes_back(
    fleet: Fleet, servers: EmbeddedServers
) -> None:
    api = await fleet.start_api("api,workers,reconcile")
    ids = await asyncio.gather(*(fleet.upload(api, PHOTO) for _ in range(20)))
    assert (await fleet.status(api, ids[-1]))["status"] != "done"
    await servers.mongod.kill()
    await fleet.until_ready(api, ready=False)
    await servers.mongod.start()
    documents = await fleet.outcomes(api, ids, within_s=120)
    assert [d["status"] for d in documents] == ["done"] * 20


async def test_a_memory_alarm_holds_photos_up_and_loses_none(
    fleet: Fleet, space: Space, servers: EmbeddedServers
) -> None:
    """RabbitMQ still delivers and takes acknowledgements, but takes no message."""
    async with watching_outcomes(space) as watcher:
        api = await fleet.start_api("api,workers,reconcile")
        ids = [await fleet.upload(api, PHOTO) for _ in range(5)]

        async def some_done() -> bool:
            return bool((await fleet.status(api, ids[0]))["status"] == "done")

        await until(some_done)
        await servers.rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0.0001")
        try:
            ids += [await fleet.upload(api, PHOTO) for _ in range(5)]

            async def patience_is_over() -> bool:
                return api.log.read_text().count("background.interrupted") == 5

            await until(patience_is_over, within_s=60)
        finally:
            await servers.rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
        documents = await fleet.outcomes(api, ids, within_s=120)
        assert [d["status"] for d in documents] == ["done"] * 10
        seen: set[str] = set()

        async def all_told() -> bool:
            seen.update(event.event_id for event in await watcher.events())
            return len(seen) >= 10

        await until(all_told)
        assert len(seen) == 10
