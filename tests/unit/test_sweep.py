"""Files that no document names are swept, and only those."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from photo_pipeline.domain.changes import photo_deleted
from photo_pipeline.domain.photo import Photo, created_at, new_photo_id, utc_now
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.blobs import SHARDS, original_key, rendition_key
from photo_pipeline.worker.sweep import AGE, AGE_UNKNOWN, sweep, sweeping
from support.fakes import FakeBlobs, FakePhotos
from support.pipeline import World, make_photo

OLD = utc_now() - AGE - timedelta(hours=1)


def _id_of(age: timedelta) -> str:
    """Return a photo id as it was made *age* ago."""
    random = UUID(new_photo_id()).int & ((1 << 80) - 1)
    return str(UUID(int=int((utc_now() - age).timestamp() * 1000) << 80 | random))


async def _sweep_all(photos: FakePhotos, blobs: FakeBlobs) -> int:
    stop = asyncio.Event()
    return sum([await sweep(shard, photos, blobs, Metrics(), stop) for shard in SHARDS])


async def _old(blobs: FakeBlobs, *keys: str) -> None:
    for key in keys:
        await blobs.write(key, b"bytes")
        blobs.written_at[key] = OLD


@pytest.fixture
async def done() -> tuple[World, Photo]:
    """A photo that went through the pipeline long ago."""
    world = World()
    photo = make_photo()
    await world.accept(photo)
    await world.run()
    await _old(world.blobs, *world.blobs.data)
    return world, await world.photos.get(photo.id)


def test_an_id_tells_when_it_was_made() -> None:
    assert abs(created_at(new_photo_id()) - utc_now()) < timedelta(seconds=5)
    for text in ("not-an-id", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"):
        with pytest.raises(ValueError, match=r"UUID"):
            created_at(text)


async def test_what_a_document_names_stays(done: tuple[World, Photo]) -> None:
    world, photo = done
    kept = dict(world.blobs.data)
    assert len(kept) == 1 + len(list(photo.renditions))
    assert await _sweep_all(world.photos, world.blobs) == 0
    assert world.blobs.data == kept


async def test_a_rendition_of_an_earlier_run_goes_when_it_is_old(
    done: tuple[World, Photo],
) -> None:
    world, photo = done
    replaced, young = (rendition_key(photo.id, r, "one", "jpg") for r in ("before", "now"))
    await _old(world.blobs, replaced)
    await world.blobs.write(young, b"bytes")
    assert await _sweep_all(world.photos, world.blobs) == 1
    assert replaced not in world.blobs.data
    assert young in world.blobs.data


async def test_nothing_goes_while_a_run_may_write(done: tuple[World, Photo]) -> None:
    world, photo = done
    await _old(world.blobs, rendition_key(photo.id, "before", "one", "jpg"))
    await world.reprocess(photo.id)
    assert await _sweep_all(world.photos, world.blobs) == 0


async def test_of_a_deleted_photo_everything_goes(done: tuple[World, Photo]) -> None:
    world, photo = done
    await world.photos.apply(photo.id, photo.run, photo_deleted(photo, at=utc_now()))
    assert await _sweep_all(world.photos, world.blobs) > 1
    assert world.blobs.data == {}


async def test_an_upload_that_never_got_a_document_goes_after_a_week() -> None:
    photos, blobs = FakePhotos(), FakeBlobs()
    older = make_photo().model_copy(update={"id": _id_of(AGE_UNKNOWN * 3)})
    await photos.insert(older)
    forgotten, recent = _id_of(AGE_UNKNOWN * 2), _id_of(AGE_UNKNOWN / 2)
    await _old(blobs, original_key(forgotten, "a.jpg"), original_key(recent, "a.jpg"))
    assert await _sweep_all(photos, blobs) == 1
    assert list(blobs.data) == [original_key(recent, "a.jpg")]


async def test_with_the_wrong_database_nothing_goes() -> None:
    photos, blobs = FakePhotos(), FakeBlobs()
    await photos.insert(make_photo())  # the first upload since somebody mixed up the addresses
    kept = [original_key(_id_of(AGE_UNKNOWN * n), "a.jpg") for n in range(2, 6)]
    await _old(blobs, *kept, "originals/ab/somebodys-own-file/a.jpg")
    assert await _sweep_all(photos, blobs) == 0
    assert len(blobs.data) == 5


async def test_the_chore_takes_one_shard_after_the_other() -> None:
    photos, blobs = FakePhotos(), FakeBlobs()
    await photos.insert(make_photo().model_copy(update={"id": _id_of(AGE_UNKNOWN * 3)}))
    for shard in SHARDS:
        await _old(blobs, original_key(_id_of(AGE_UNKNOWN * 2)[:-2] + shard, "a.jpg"))
    chore = sweeping(photos, blobs, Metrics())
    for left in reversed(range(len(SHARDS))):
        assert await chore(asyncio.Event()) == 1
        assert len(blobs.data) == left
    assert PhotoStatus.DELETED not in {p.status for p in await photos._all()}
