"""The same upload sent again is the same photo; and what the door refuses."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp import hdrs
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDict, CIMultiDictProxy

from photo_pipeline.api import idempotency
from photo_pipeline.api.idempotency import LONGEST_KEY, REPLAYED, idempotency_key
from photo_pipeline.domain.changes import photo_deleted
from photo_pipeline.domain.photo import utc_now
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import (
    InvalidRequestError,
    OverloadedError,
    RequestInProgressError,
    StorageFullError,
)
from photo_pipeline.storage.idempotency import LEASE
from support.api import LIMITS, PHOTO, api_over, multipart
from support.fakes import FakeIdempotencyKeys
from support.pipeline import World
from support.waiting import until

Client = TestClient[Any, Any]
OTHER = PHOTO + b"\0"  # behind the end of the picture
NAME = "Idempotency-Key"
KEY = {NAME: "8e03978e"}


def _form(
    data: bytes = PHOTO, filename: str = "cat.jpg", fields: Mapping[str, str] | None = None
) -> aiohttp.FormData:
    form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    for name, value in (fields or {}).items():
        form.add_field(name, value)
    form.add_field("file", data, filename=filename)
    return form


def _headers(*values: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict([("Idempotency-Key", value) for value in values]))


# ---------------------------------------------------------------- the header


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("8e03978e-40d5", "8e03978e-40d5"),
        ('"8e03978e-40d5"', "8e03978e-40d5"),
        (" a b ", "a b"),
        (r'"a \" and a \\"', r'a " and a \\'[:-1]),
        ("x" * LONGEST_KEY, "x" * LONGEST_KEY),
    ],
)
def test_a_key(value: str, key: str) -> None:
    assert idempotency_key(_headers(value)) == key


def test_no_key() -> None:
    assert idempotency_key(_headers()) is None


@pytest.mark.parametrize(
    "values",
    [
        [""],
        ['""'],
        ["  "],
        ["x" * (LONGEST_KEY + 1)],
        ["a\tb"],
        ["a\x7f"],
        ["é"],
        ['"open'],
        ['"a";p=1'],
        [r'"\x"'],
        ["a", "a"],
    ],
)
def test_what_is_no_key(values: list[str]) -> None:
    with pytest.raises(InvalidRequestError, match="Idempotency-Key"):
        idempotency_key(_headers(*values))


# ---------------------------------------------------------------- over HTTP


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def keys(world: World) -> FakeIdempotencyKeys:
    return FakeIdempotencyKeys()


@pytest.fixture
async def client(world: World, keys: FakeIdempotencyKeys) -> AsyncIterator[Client]:
    async with TestClient(TestServer(api_over(world, keys))) as client:
        yield client


async def _post(
    client: Client, form: object, headers: Mapping[str, str] = KEY
) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    async with client.post("/upload/", data=form, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers


def _photos(world: World) -> list[str]:
    return sorted(world.photos._documents)


async def test_a_repeat_is_answered_alike_and_told_as_one(client: Client, world: World) -> None:
    fields = {"preset": "default", "focal_point": "0.5,0.25", "metadata": '{"a": 1, "b": 2}'}
    status, first, headers = await _post(client, _form(fields=fields))
    assert (status, headers.get(REPLAYED)) == (202, None)
    # The same in other words, under the key in the draft's own notation.
    again = {"metadata": '{"b":2,"a":1}', "focal_point": " 0.50, .25"}
    quoted = {"Idempotency-Key": '"8e03978e"'}
    status, second, headers = await _post(client, _form(fields=again), quoted)
    assert (status, headers[REPLAYED]) == (202, "true")
    assert second == first
    assert headers[hdrs.LOCATION] == first["links"]["self"]
    assert _photos(world) == [first["id"]]
    assert len(world.blobs.data) == 1
    # Also when it has got on meanwhile, and when nothing is left of it but its tombstone.
    await world.run()
    assert (await _post(client, _form(fields=again)))[1] == first
    photo = await world.photos.get(first["id"])
    assert photo.status is PhotoStatus.DONE
    await world.photos.apply(photo.id, photo.run, photo_deleted(photo, at=utc_now()))
    assert (await _post(client, _form(fields=again)))[1] == first
    assert world.metrics.uploads.labels("replayed")._value.get() == 3
    assert len(world.publisher.outcomes) == 1


@pytest.mark.parametrize(
    ("data", "filename", "fields"),
    [
        (OTHER, "cat.jpg", {}),
        (PHOTO, "dog.jpg", {}),
        (PHOTO, "cat.jpg", {"focal_point": "0,0"}),
        (PHOTO, "cat.jpg", {"metadata": '{"a": 1}'}),
        (PHOTO, "cat.jpg", {"preset": "gone"}),
    ],
    ids=["bytes", "filename", "focal point", "metadata", "preset"],
)
async def test_another_upload_under_the_key_is_422(
    client: Client, world: World, data: bytes, filename: str, fields: dict[str, str]
) -> None:
    _, first, _ = await _post(client, _form())
    status, problem, _ = await _post(client, _form(data, filename, fields))
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    assert (_photos(world), len(world.blobs.data)) == ([first["id"]], 1)
    status, second, _ = await _post(client, _form(data), {"Idempotency-Key": "another"})
    assert (status, second["id"] != first["id"]) == (202, True)


class Slow:
    """An upload that waits in the middle of its body."""

    def __init__(self, client: Client, keys: FakeIdempotencyKeys, key: str = KEY[NAME]) -> None:
        self._keys, self._key = keys, key
        self.goes_on = asyncio.Event()
        headers = {NAME: key, "Content-Type": "multipart/form-data; boundary=b"}
        self.answer = asyncio.create_task(_post(client, self._body(), headers))

    async def _body(self) -> AsyncIterator[bytes]:
        start, end = multipart().split(PHOTO)
        yield start + PHOTO[:1000]
        await self.goes_on.wait()
        yield PHOTO[1000:] + end

    async def begun(self) -> None:
        await until(self._reserved)

    async def _reserved(self) -> bool:
        return self._key in self._keys.records


async def test_while_the_first_is_in_work_it_is_409(
    client: Client, keys: FakeIdempotencyKeys
) -> None:
    first = Slow(client, keys)
    await first.begun()
    status, problem, answered = await _post(client, _form())
    assert (status, problem["code"]) == (409, "request_in_progress")
    assert int(answered[hdrs.RETRY_AFTER]) == RequestInProgressError.retry_after_s
    first.goes_on.set()
    _, accepted, _ = await first.answer
    assert (await _post(client, _form()))[1] == accepted


async def test_a_refused_upload_gives_the_key_back(client: Client, world: World) -> None:
    for data, code in [(b"<html>", 415), (b"", 422), (PHOTO + bytes(LIMITS.upload_bytes), 413)]:
        assert (await _post(client, _form(data)))[0] == code
    status, first, headers = await _post(client, _form())
    assert (status, headers.get(REPLAYED)) == (202, None)
    assert _photos(world) == [first["id"]]


async def test_a_client_that_hangs_up_gives_the_key_back(
    client: Client, keys: FakeIdempotencyKeys
) -> None:
    first = Slow(client, keys)
    await first.begun()
    first.answer.cancel()
    await asyncio.gather(first.answer, return_exceptions=True)

    async def free() -> bool:
        return bool(keys.records[KEY[NAME]]["until"] <= utc_now())

    await until(free)
    assert (await _post(client, _form()))[0] == 202


async def test_a_lease_lasts_as_long_as_bytes_come(
    client: Client, keys: FakeIdempotencyKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "RENEWAL_S", 0.01)
    renewals = keys._scissors.names
    first = Slow(client, keys)

    async def renewed() -> bool:
        return "renew" in renewals

    await until(renewed)
    before = renewals.count("renew")
    await asyncio.sleep(0.2)  # silence, for twenty times as long as between renewals
    assert renewals.count("renew") <= before + 1
    # So whoever sends the same again does not wait for the silent one.
    keys.passed += LEASE
    status, accepted, _ = await _post(client, _form())
    assert status == 202
    first.goes_on.set()
    status, problem, _ = await first.answer
    assert (status, problem["code"]) == (409, "request_in_progress")
    assert (await _post(client, _form()))[1] == accepted


async def test_one_that_wakes_up_after_it_was_overtaken_brings_nothing_back(
    client: Client, world: World, keys: FakeIdempotencyKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It pauses between its seal and its bytes for longer than its lease."""
    waits, wakes = asyncio.Event(), asyncio.Event()
    seal = keys.seal

    async def pausing(key: str, *, holder: str, fingerprint: str) -> str | None:
        standing = await seal(key, holder=holder, fingerprint=fingerprint)
        if not waits.is_set():
            waits.set()
            await wakes.wait()
        return standing

    monkeypatch.setattr(keys, "seal", pausing)
    late = asyncio.create_task(_post(client, _form()))
    await waits.wait()
    keys.passed += LEASE
    _, accepted, _ = await _post(client, _form())
    photo = await world.photos.get(accepted["id"])
    await world.photos.apply(photo.id, photo.run, photo_deleted(photo, at=utc_now()))
    world.blobs.data.clear()
    wakes.set()
    status, told, headers = await late
    assert (status, told, headers[REPLAYED]) == (202, accepted, "true")
    assert world.blobs.data == {}


# ---------------------------------------------------------------- the door


async def test_as_many_uploads_as_allowed_at_a_time_and_no_more(
    client: Client, world: World, keys: FakeIdempotencyKeys
) -> None:
    inside = [Slow(client, keys, f"{n}") for n in range(LIMITS.uploads)]
    await asyncio.gather(*(slow.begun() for slow in inside))
    status, problem, headers = await _post(client, _form(), {})
    assert (status, problem["code"]) == (503, "overloaded")
    assert int(headers[hdrs.RETRY_AFTER]) == OverloadedError.retry_after_s
    inside[0].goes_on.set()
    assert (await inside[0].answer)[0] == 202
    assert (await _post(client, _form(), {}))[0] == 202
    for slow in inside:
        slow.goes_on.set()
    assert [(await slow.answer)[0] for slow in inside] == [202] * LIMITS.uploads
    # Refusals give their place back as well.
    for _ in range(LIMITS.uploads + 1):
        assert (await _post(client, _form(b"<html>"), {}))[0] == 415


async def test_the_reserve_of_the_storage_is_not_for_uploads(
    client: Client, world: World, keys: FakeIdempotencyKeys
) -> None:
    body = multipart()
    headers = {**KEY, "Content-Type": "multipart/form-data; boundary=b"}
    world.blobs.room = LIMITS.reserve_bytes + len(body) - 1
    status, problem, answered = await _post(client, body, headers)
    assert (status, problem["code"]) == (503, "storage_full")
    assert int(answered[hdrs.RETRY_AFTER]) == StorageFullError.retry_after_s
    assert (_photos(world), world.blobs.data, keys.records) == ([], {}, {})
    world.blobs.room += 1
    assert (await _post(client, body, headers))[0] == 202
