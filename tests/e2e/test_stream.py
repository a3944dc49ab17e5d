"""The status stream: every change in order, once, across cuts and replicas."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from photo_pipeline.embedded.launcher import EmbeddedServers
from support.processes import SAMPLES, Fleet, RoleProcess, new_space

PHOTO = SAMPLES / "coffee-gps.jpg"


async def _read(
    fleet: Fleet, api: RoleProcess, photo_id: str, *, since: int | None = None, frames: int = 1000
) -> tuple[list[dict[str, Any]], int | None]:
    """Read up to *frames* frames; return them and the close code."""
    query = "" if since is None else f"?since={since}"
    found = []
    async with fleet.http.ws_connect(f"{api.url}/ws/{photo_id}{query}") as socket:
        async for message in socket:
            found.append(json.loads(message.data))
            if len(found) == frames:
                break
    return found, socket.close_code


@pytest.fixture(scope="module")
async def standing(
    servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    """A fleet for all tests that stop no process."""
    async with Fleet(new_space(servers, tmp_path_factory.mktemp("stream"))) as fleet:
        yield fleet


@pytest.fixture(scope="module")
async def api(standing: Fleet) -> RoleProcess:
    return await standing.start_api("api,workers")


async def test_a_stream_begins_with_a_snapshot_and_ends_with_the_outcome(
    standing: Fleet, api: RoleProcess
) -> None:
    photo_id = await standing.upload(api, PHOTO)
    frames, code = await _read(standing, api, photo_id)
    snapshot, *events = frames
    assert snapshot["type"] == "snapshot"
    assert snapshot["photo"]["id"] == photo_id
    assert snapshot["photo"]["revision"] == snapshot["revision"]
    document = await standing.status(api, photo_id)
    assert [e["revision"] for e in events] == list(
        range(snapshot["revision"] + 1, document["revision"] + 1)
    )
    timeline = {e["revision"]: e for e in document["timeline"]}
    for event in events:
        assert event["photo_id"] == photo_id
        assert event["type"] == timeline[event["revision"]]["type"]
        assert event["at"] == timeline[event["revision"]]["at"]
    assert events[-1]["type"] == "photo.done"
    assert code == 1000


async def test_since_goes_on_after_a_revision(standing: Fleet, api: RoleProcess) -> None:
    photo_id = await standing.upload(api, PHOTO)
    document = await standing.outcome(api, photo_id)
    for since in (0, 3, document["revision"]):
        frames, code = await _read(standing, api, photo_id, since=since)
        assert [f["revision"] for f in frames] == list(range(since + 1, document["revision"] + 1))
        assert code == 1000
    frames, code = await _read(standing, api, photo_id)
    assert [f["type"] for f in frames] == ["snapshot"]
    assert code == 1000


async def test_a_bad_since_is_refused_before_the_upgrade(standing: Fleet, api: RoleProcess) -> None:
    photo_id = await standing.upload(api, PHOTO)
    revision = (await standing.outcome(api, photo_id))["revision"]
    for since in ("-1", "x", "", str(revision + 1), "9" * 5000):
        async with standing.http.get(f"{api.url}/ws/{photo_id}", params={"since": since}) as answer:
            assert answer.status == 400
            assert (await answer.json())["code"] == "invalid_request"


async def test_joined_over_cuts_and_replicas_nothing_is_missing_or_repeated(
    standing: Fleet, api: RoleProcess
) -> None:
    first = api
    second = await standing.start_api("api")
    ids = [await standing.upload(first, PHOTO) for _ in range(5)]

    async def follow(photo_id: str) -> list[dict[str, Any]]:
        joined: list[dict[str, Any]] = []
        for turn in range(100):
            api = (first, second)[turn % 2]
            frames, _ = await _read(standing, api, photo_id, since=len(joined), frames=2)
            joined += frames
            if joined[-1]["type"] == "photo.done":
                return joined
        raise AssertionError(joined)

    for photo_id, joined in zip(ids, await asyncio.gather(*map(follow, ids)), strict=True):
        assert [f["revision"] for f in joined] == list(range(1, len(joined) + 1))
        document = await standing.status(second, photo_id)
        assert [f["type"] for f in joined] == [e["type"] for e in document["timeline"]]


async def test_stopping_the_api_sends_the_clients_elsewhere_at_once(fleet: Fleet) -> None:
    api = await fleet.start_api()
    photo_id = await fleet.upload(api, PHOTO)
    async with fleet.http.ws_connect(f"{api.url}/ws/{photo_id}") as socket:
        await socket.receive_json()
        polling = asyncio.create_task(fleet.status(api, photo_id, wait_s=60))
        await asyncio.sleep(0.5)
        stopping = asyncio.create_task(api.terminate())
        message = await asyncio.wait_for(socket.receive(), 10)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1001
    assert (await asyncio.wait_for(polling, 10))["status"] == "queued"
    assert await asyncio.wait_for(stopping, 10) == 0


async def test_a_long_poll_answers_with_the_outcome(standing: Fleet, api: RoleProcess) -> None:
    photo_id = await standing.upload(api, PHOTO)
    document = await standing.status(api, photo_id, wait_s=30)
    assert document["status"] == "done"
