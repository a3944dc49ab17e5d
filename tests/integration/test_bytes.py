"""Serving bytes that change, vanish or tear while they are served; over fakes, by real HTTP."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from photo_pipeline.api.app import Parts, make_app
from photo_pipeline.api.feed import Feed
from photo_pipeline.api.hub import Hub
from photo_pipeline.api.limits import Limits
from photo_pipeline.api.rates import Rates
from photo_pipeline.broker.inspect import QueueCount
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.broker.topology import Names
from photo_pipeline.domain.messages import TrialAnswer
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.planning import Plans
from photo_pipeline.domain.preset import Preset, make_presets
from photo_pipeline.errors import BlobUnavailableError, TrialUnansweredError
from photo_pipeline.health import Health
from photo_pipeline.storage.blobs import CHUNK_BYTES
from support.casefiles import FakeDeadLetters
from support.fakes import FakeBlobs
from support.pipeline import STAGES, World, make_photo

Client = TestClient[Any, Any]


async def _no_counts(_: object) -> dict[str, QueueCount]:
    return {}


async def _nothing_there(*_: object) -> int:
    return 0


async def _no_answer(*_: object) -> TrialAnswer:
    raise TrialUnansweredError


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def photo(world: World) -> Photo:
    photo = make_photo()
    await world.accept(photo)
    await world.run()
    return await world.photos.get(photo.id)


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    app = make_app(
        Parts(
            asyncapi="{}",
            photos=world.photos,
            blobs=world.blobs,
            dead_letters=FakeDeadLetters(),
            take_out=_nothing_there,
            ask_worker=_no_answer,
            publisher=cast("Publisher", world.publisher),
            feed=Feed(),
            hub=Hub(world.photos),
            rates=Rates(),
            names=Names(),
            count_queues=_no_counts,
            plans=Plans(make_presets({}, STAGES), STAGES),
            limits=Limits(upload_bytes=1000, pixels=1000, trial_s=1),
            health=Health(),
            metrics=world.metrics,
        )
    )
    async with TestClient(TestServer(app)) as client:
        yield client


def _changed() -> Preset:
    return Preset(name="other", stages={name: {"suffix": "!"} for name in STAGES})


async def test_every_answer_carries_its_request_id(client: Client, photo: Photo) -> None:
    for path in (f"/photos/{photo.id}/one", f"/status/{photo.id}", "/nothing"):
        async with client.get(path, headers={"X-Request-ID": "mine"}) as answer:
            assert answer.headers["X-Request-ID"] == "mine"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_head_tells_what_get_would(client: Client, photo: Photo) -> None:
    path = f"/photos/{photo.id}/original"
    async with client.get(path) as got, client.head(path) as head:
        assert await got.read() == b"photo"
        assert await head.read() == b""
        for name in ("Content-Length", "Content-Type", "ETag", "Cache-Control"):
            assert head.headers[name] == got.headers[name]


async def test_bytes_that_another_run_replaces_meanwhile_are_served_anew(
    client: Client, photo: Photo, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = FakeBlobs.size
    old = photo.rendition("one")
    assert old is not None

    async def just_then(self: FakeBlobs, key: str) -> int | None:
        monkeypatch.setattr(FakeBlobs, "size", size)
        await world.reprocess(photo.id, _changed())
        await world.run()
        return await size(self, key)

    monkeypatch.setattr(FakeBlobs, "size", just_then)
    async with client.get(f"/photos/{photo.id}/one", params={"v": old.sha256[:16]}) as answer:
        assert answer.status == 200
        assert await answer.read() == b"otohp!"
        assert answer.headers["Cache-Control"] == "no-cache"


async def test_bytes_deleted_meanwhile_are_gone(
    client: Client, photo: Photo, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = FakeBlobs.size

    async def just_then(self: FakeBlobs, key: str) -> int | None:
        found = await size(self, key)
        world.entomb(photo.id)
        world.erase(photo.id)
        return found

    monkeypatch.setattr(FakeBlobs, "size", just_then)
    async with client.get(f"/photos/{photo.id}/one") as answer:
        assert answer.status == 410
        assert (await answer.json())["code"] == "photo_deleted"


async def test_bytes_that_are_lost_are_told_as_a_problem(
    client: Client, photo: Photo, world: World
) -> None:
    world.blobs.data[photo.original] = b"torn!!"
    async with client.get(f"/photos/{photo.id}/original") as answer:
        assert answer.status == 404
        assert (await answer.json())["code"] == "missing_blob"
        assert "ETag" not in answer.headers


async def test_an_answer_that_tears_is_cut_and_nothing_put_in_its_place(
    client: Client, photo: Photo, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of a problem in the middle of a picture would be taken for the picture."""

    async def tears() -> AsyncGenerator[bytes, None]:
        yield b"ph"
        raise BlobUnavailableError("EIO")

    monkeypatch.setattr(FakeBlobs, "stream", lambda *_: tears())
    async with client.get(f"/photos/{photo.id}/original") as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    monkeypatch.undo()
    async with client.get(f"/photos/{photo.id}/original") as answer:
        assert await answer.read() == b"photo"


async def test_a_range_over_several_chunks(client: Client, photo: Photo, world: World) -> None:
    data = bytes(range(256)) * (3 * CHUNK_BYTES // 256)
    world.blobs.data[photo.original] = data
    world.photos._documents[photo.id]["bytes"] = len(data)
    first, last = CHUNK_BYTES - 3, 2 * CHUNK_BYTES + 3
    path = f"/photos/{photo.id}/original"
    async with client.get(path, headers={"Range": f"bytes={first}-{last}"}) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(data)}"
        assert await answer.read() == data[first : last + 1]
