"""One photo of many uploads under one key, at two replicas, over a kill -9 in the middle."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from support.processes import SAMPLES, Fleet, RoleProcess, Space
from support.waiting import until

PHOTO = SAMPLES / "cat-small.jpg"
BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="cat-small.jpg"\r\n\r\n'


def _form(data: bytes = PHOTO.read_bytes()) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", data, filename=PHOTO.name)
    return form


@dataclass
class Answers:
    """What uploads under one key were answered."""

    fleet: Fleet
    key: str
    seen: list[tuple[int, str, bool]] = field(default_factory=list)

    async def upload(self, api: RoleProcess, data: Any = None) -> tuple[int, Mapping[str, Any]]:
        headers = {"Idempotency-Key": self.key, **({} if data is None else BOUNDARY)}
        url = f"{api.url}/upload/"
        async with self.fleet.http.post(url, data=data or _form(), headers=headers) as answer:
            body = await answer.json()
            replayed = answer.headers.get("Idempotency-Replayed") == "true"
            self.seen.append((answer.status, body.get("id") or body["code"], replayed))
            return answer.status, body

    async def until_accepted(self, api: RoleProcess) -> str:
        """Upload again and again while the first one is in work; return the photo's id."""

        async def accepted() -> str | None:
            status, body = await self.upload(api)
            assert status == 202 or body["code"] == "request_in_progress", body
            return body.get("id")

        photo_id = await until(accepted, within_s=60, every_s=0.2)
        assert photo_id is not None
        return photo_id


async def _photos(space: Space) -> list[dict[str, Any]]:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
        space.environment["PHOTO_MONGO_URL"]
    )
    try:
        return await client.get_default_database()["photos"].find().to_list(None)
    finally:
        client.close()


def _originals(space: Space) -> list[str]:
    return [path.parent.name for path in space.files() if "originals" in path.parts]


async def test_one_photo_of_many_uploads_under_one_key(fleet: Fleet, space: Space) -> None:
    full = {"PHOTO_STORAGE_RESERVE_BYTES": f"{2**60}"}
    one, other, another = await asyncio.gather(
        fleet.start_api("api,workers"), fleet.start_api(), fleet.start_api(environment=full)
    )
    async with fleet.http.post(f"{another.url}/upload/", data=_form()) as answer:
        assert (answer.status, (await answer.json())["code"]) == (503, "storage_full")
    assert space.files() == []
    answers = Answers(fleet, "parallel")
    ids = await asyncio.gather(
        *(answers.until_accepted(api) for api in (one, other) for _ in range(10))
    )
    assert len(set(ids)) == 1
    assert {(status, what) for status, what, _ in answers.seen} <= {
        (202, ids[0]),
        (409, "request_in_progress"),
    }
    assert [(s, r) for s, _, r in answers.seen].count((202, False)) == 1, "accepted more than once"
    document = await fleet.outcome(one, ids[0])
    assert document["status"] == "done"
    assert [entry["type"] for entry in document["timeline"]].count("photo.done") == 1
    assert {stage["attempts"] for stage in document["stages"]} == {1}
    assert [(p["_id"], p["run"]) for p in await _photos(space)] == [(ids[0], 1)]
    assert _originals(space) == [ids[0]]
    # Another upload under the key, at both replicas.
    for api in (one, other):
        form = _form((SAMPLES / "rocket-adobe-rgb.jpg").read_bytes())
        headers = {"Idempotency-Key": "parallel"}
        async with fleet.http.post(f"{api.url}/upload/", data=form, headers=headers) as answer:
            assert answer.status == 422
            assert (await answer.json())["code"] == "idempotency_key_reused"
    for key in ("", '""', "x" * 256, '"open', "caf\xe9"):
        headers = {"Idempotency-Key": key}
        async with fleet.http.post(f"{one.url}/upload/", data=_form(), headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request"), key
    # Deleted meanwhile: the repeat tells of it, and does not make it anew.
    async with fleet.http.delete(f"{one.url}/photos/{ids[0]}") as answer:
        assert answer.status == 202
    assert await answers.until_accepted(other) == ids[0]
    assert (await fleet.status(other, ids[0]))["status"] == "deleted"
    assert len(await _photos(space)) == 1


async def test_a_replica_is_killed_in_the_middle_of_an_upload(fleet: Fleet, space: Space) -> None:
    only_one = {"PHOTO_MAX_UPLOADS": "1"}
    victim, other = await asyncio.gather(
        fleet.start_api(environment=only_one), fleet.start_api("api,workers")
    )
    answers = Answers(fleet, "killed")

    async def endless() -> AsyncIterator[bytes]:
        yield HEAD + PHOTO.read_bytes()
        while True:
            yield bytes(1024)
            await asyncio.sleep(0.05)

    cut = asyncio.create_task(answers.upload(victim, endless()))

    async def in_work() -> bool:
        status, body = await answers.upload(other) if space.files() else (0, {})
        return (status, body.get("code")) == (409, "request_in_progress")

    await until(in_work)
    async with fleet.http.post(f"{victim.url}/upload/", data=_form()) as answer:
        assert (answer.status, (await answer.json())["code"]) == (503, "overloaded")
    victim.kill()
    with pytest.raises(aiohttp.ClientError):
        await cut
    photo_id = await answers.until_accepted(other)
    assert (await fleet.outcome(other, photo_id))["status"] == "done"
    assert [(p["_id"], p["run"]) for p in await _photos(space)] == [(photo_id, 1)]
    assert _originals(space) == [photo_id]
    # What the dead one had begun is nowhere but among the temporary files.
    left = {path.relative_to(space.storage).parts[0] for path in space.files()}
    assert left == {"originals", "renditions", "tmp"}
