"""A deleted photo is gone, whatever is at work on it."""

import asyncio
import json
import signal
from typing import Any

import aiohttp
import psutil

from support.outcomes import watching_outcomes
from support.processes import SAMPLES, Fleet, RoleProcess, Space
from support.waiting import until

PHOTO = SAMPLES / "coffee-gps.jpg"
STAGES = ("resize", "watermark", "detect")


async def _delete(fleet: Fleet, api: RoleProcess, photo_id: str) -> None:
    async with fleet.http.delete(f"{api.url}/photos/{photo_id}") as answer:
        assert answer.status == 202
        assert await answer.json() == {"id": photo_id, "status": "deleted"}


async def _until_erased(space: Space) -> None:
    async def erased() -> bool:
        return space.files() == []

    await until(erased)


async def _frames(fleet: Fleet, api: RoleProcess, photo_id: str, since: int) -> list[str]:
    url = f"{api.url}/ws/{photo_id}?since={since}"
    async with fleet.http.ws_connect(url) as socket:
        frames = [json.loads(message.data)["type"] async for message in socket]
        assert socket.close_code == 1000
    return frames


async def test_a_done_photo_is_deleted_with_every_byte(fleet: Fleet, space: Space) -> None:
    api = await fleet.start_api("api,workers")
    photo_id = await fleet.upload(api, PHOTO, metadata='{"album": "secret"}')
    done = await fleet.outcome(api, photo_id)
    assert len(space.files()) == 1 + len(done["renditions"])
    async with fleet.http.ws_connect(f"{api.url}/ws") as everything:
        assert (await everything.receive_json())["type"] == "snapshot"
        await _delete(fleet, api, photo_id)
        frame = await everything.receive_json(timeout=10)
        assert (frame["type"], frame["photo_id"]) == ("photo.deleted", photo_id)
    await _until_erased(space)
    stone = await fleet.status(api, photo_id, wait_s=10)
    assert (stone["status"], stone["revision"]) == ("deleted", done["revision"] + 1)
    assert stone["timeline"][-1]["type"] == "photo.deleted"
    assert (stone["renditions"], stone["metadata"]) == ([], {})
    assert (stone["placeholder"], stone["detection"], stone["srcset"]) == (None, None, {})
    assert await _frames(fleet, api, photo_id, done["revision"]) == ["photo.deleted"]
    for name in ("original", "640", "nothing"):
        async with fleet.http.get(f"{api.url}/photos/{photo_id}/{name}") as answer:
            assert answer.status == 410
            assert (await answer.json())["code"] == "photo_deleted"
    await _delete(fleet, api, photo_id)
    assert await fleet.status(api, photo_id) == stone
    async with fleet.http.get(f"{api.url}/photos") as answer:
        assert (await answer.json())["items"] == []
    async with fleet.http.get(f"{api.url}/photos", params={"status": "deleted"}) as answer:
        assert [item["id"] for item in (await answer.json())["items"]] == [photo_id]


async def test_an_unknown_photo_cannot_be_deleted(fleet: Fleet) -> None:
    api = await fleet.start_api()
    async with fleet.http.delete(f"{api.url}/photos/nothing/") as answer:
        assert answer.status == 404
        assert (await answer.json())["code"] == "unknown_photo"


async def test_a_photo_deleted_while_it_waits_is_never_begun(fleet: Fleet, space: Space) -> None:
    async with watching_outcomes(space) as watcher:
        api = await fleet.start_api()
        photo_id = await fleet.upload(api, PHOTO)
        await _delete(fleet, api, photo_id)
        await _until_erased(space)
        resize = await fleet.start("resize")
        await _until_attempts(fleet, resize, "resize", "obsolete")
        stone = await fleet.status(api, photo_id)
        assert [e["type"] for e in stone["timeline"]] == ["photo.queued", "photo.deleted"]
        assert space.files() == []
        assert await watcher.events() == []


async def _until_attempts(fleet: Fleet, role: RoleProcess, stage: str, result: str) -> None:
    wanted = f'photo_stage_attempts_total{{result="{result}",stage="{stage}"}} 1.0'

    async def counted() -> bool:
        async with fleet.http.get(f"{role.url}/metrics") as answer:
            return wanted in await answer.text()

    await until(counted)


async def _begun(
    fleet: Fleet, api: RoleProcess, stage: str, role: RoleProcess
) -> tuple[str, list[psutil.Process]]:
    """Return a photo that the stage is at work on, and the stage's processes, held there."""
    held = psutil.Process(role.pid).children(recursive=True)
    assert held
    for process in held:
        process.suspend()
    photo_id = await fleet.upload(api, PHOTO)

    async def running() -> bool:
        document = await fleet.status(api, photo_id)
        return any(s["name"] == stage and s["status"] == "running" for s in document["stages"])

    await until(running)
    return photo_id, held


async def _nothing_follows(
    fleet: Fleet, api: RoleProcess, space: Space, stone: dict[str, Any]
) -> None:
    assert await fleet.status(api, stone["id"]) == stone
    assert space.files() == []
    revision = stone["revision"]
    assert await _frames(fleet, api, stone["id"], revision - 1) == ["photo.deleted"]


async def test_a_photo_deleted_while_a_stage_is_at_work_stays_deleted(
    fleet: Fleet, space: Space
) -> None:
    async with watching_outcomes(space) as watcher:
        api = await fleet.start_api()
        roles = {stage: await fleet.start(stage) for stage in STAGES}
        for stage, role in roles.items():
            await _delete_and_go_on(fleet, api, space, stage, role)
            roles[stage] = await _delete_and_kill(fleet, api, space, stage, role)
        for role in roles.values():
            assert await role.terminate() == 0
        assert await watcher.events() == []
        assert await watcher.left() == {}


async def _delete_and_go_on(
    fleet: Fleet, api: RoleProcess, space: Space, stage: str, role: RoleProcess
) -> None:
    photo_id, held = await _begun(fleet, api, stage, role)
    follower = asyncio.create_task(_frames(fleet, api, photo_id, 0))
    await _delete(fleet, api, photo_id)
    await _until_erased(space)
    assert (await asyncio.wait_for(follower, 10))[-1] == "photo.deleted"
    stone = await fleet.status(api, photo_id)
    for process in held:
        process.resume()  # it finishes its work, and finds that nobody wants it
    await _until_attempts(fleet, role, stage, "obsolete")
    await _nothing_follows(fleet, api, space, stone)


async def _delete_and_kill(
    fleet: Fleet, api: RoleProcess, space: Space, stage: str, role: RoleProcess
) -> RoleProcess:
    """Return the role's next process, which has got the killed one's message."""
    photo_id, _ = await _begun(fleet, api, stage, role)
    await _delete(fleet, api, photo_id)
    await _until_erased(space)
    stone = await fleet.status(api, photo_id)
    role.kill()  # what it holds dies with it
    await role.process.wait()
    again = await fleet.start(stage)
    await _until_attempts(fleet, again, stage, "obsolete")
    await _nothing_follows(fleet, api, space, stone)
    return again


async def test_a_whole_process_that_sleeps_through_the_deletion_changes_nothing(
    fleet: Fleet, space: Space
) -> None:
    """Longer than the broker waits for its heartbeats is not needed: the message is its own."""
    api = await fleet.start_api("api,watermark,detect")
    role = await fleet.start("resize")
    photo_id, held = await _begun(fleet, api, "resize", role)
    role.process.send_signal(signal.SIGSTOP)
    await _delete(fleet, api, photo_id)
    await _until_erased(space)
    stone = await fleet.status(api, photo_id)
    for process in held:
        process.resume()
    role.process.send_signal(signal.SIGCONT)
    await _until_attempts(fleet, role, "resize", "obsolete")
    await _nothing_follows(fleet, api, space, stone)


async def test_server_sent_events_tell_the_deletion_and_then_end(fleet: Fleet) -> None:
    api = await fleet.start_api()
    photo_id = await fleet.upload(api, PHOTO)
    url = f"{api.url}/events/{photo_id}"
    async with fleet.http.get(url, timeout=aiohttp.ClientTimeout(30)) as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["X-Request-ID"]
        first = [await answer.content.readline() for _ in range(5)]
        assert first[0].startswith(b"retry: ")
        assert first[2] == b"id: 1\n"
        assert json.loads(first[3].removeprefix(b"data: "))["type"] == "snapshot"
        await _delete(fleet, api, photo_id)
        rest = await answer.content.read()
        assert rest.startswith(b"id: 2\n")
        assert b'"photo.deleted"' in rest
    async with fleet.http.get(url, headers={"Last-Event-ID": "1"}) as answer:
        assert b"\nid: 2\n" in await answer.read()
    async with fleet.http.get(url, headers={"Last-Event-ID": "2"}) as answer:
        assert answer.status == 204
    async with fleet.http.get(url, headers={"Last-Event-ID": "3"}) as answer:
        assert answer.status == 400
