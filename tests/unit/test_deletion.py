"""Delete a photo in the middle of anything: no byte and no change is left afterwards."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import cast

import pytest

from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain.changes import photo_deleted
from photo_pipeline.domain.messages import outcome_of_run
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.status import EventType, PhotoStatus
from photo_pipeline.erase import erase
from photo_pipeline.errors import BlobUnavailableError, UnreadableImageError
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.blobs import rendition_key
from photo_pipeline.worker.debts import PATIENCE_S, pay_debts
from support.fakes import Cut, FakeBlobs, FakePhotos, FakePublisher, Meanwhile, Scissors
from support.pipeline import STAGES, World, make_photo

Failing = dict[str, Sequence[Exception]]
WELL: Failing = {}
RETRIED: Failing = {"second": [BlobUnavailableError("EIO")]}
FATAL: Failing = {"second": [UnreadableImageError("broken")] * 2}
CASES = pytest.mark.parametrize("failing", [WELL, RETRIED, FATAL], ids=["well", "retried", "fatal"])


async def _world(failing: Failing) -> tuple[World, Photo]:
    world = World()
    for stage, errors in failing.items():
        world.failures[stage].extend(errors)
    photo = make_photo()
    await world.accept(photo)
    return world, photo


async def _effects(failing: Failing) -> int:
    world, _ = await _world(failing)
    await world.run()
    assert world.scissors.count >= len(STAGES) * 6
    return world.scissors.count


async def _check(world: World, photo: Photo, where: object) -> None:
    stone = await world.photos.get(photo.id)
    assert stone.status is PhotoStatus.DELETED, where
    assert stone.timeline[-1].type is EventType.PHOTO_DELETED, where
    assert len(stone.timeline) == stone.revision, where
    assert list(stone.renditions) == [], where
    assert world.blobs.data == {}, where
    told = {e.event_id for e in world.publisher.outcomes}
    assert told == {e.event_id for run in (1, 2) if (e := outcome_of_run(stone, run))}, where


def _delete(world: World, photo: Photo) -> tuple[Callable[[], None], Callable[[], None]]:
    return partial(world.entomb, photo.id), partial(world.erase, photo.id)


@CASES
async def test_a_photo_deleted_before_any_effect_leaves_nothing(failing: Failing) -> None:
    effects = await _effects(failing)
    for n in range(1, effects + 1):
        world, photo = await _world(failing)
        world.use(Meanwhile({n: _delete(world, photo)}))
        await world.run()
        await _check(world, photo, (n, world.scissors.names[n - 1]))


async def test_bytes_that_are_erased_later_than_the_tombstone_leave_nothing() -> None:
    effects = await _effects(WELL)
    for n in range(1, effects + 1):
        for later in range(n, n + 10):
            world, photo = await _world(WELL)
            entomb, erase_ = _delete(world, photo)
            actions: dict[int, list[Callable[[], None]]] = {n: [entomb]}
            actions.setdefault(later, []).append(erase_)
            world.use(Meanwhile(actions))
            await world.run()
            if world.scissors.count < later:
                erase_()
            await _check(world, photo, (n, later, world.scissors.names))


async def test_a_consumer_that_is_cut_after_the_deletion_leaves_nothing() -> None:
    effects = await _effects(WELL)
    for n in range(1, effects + 1):
        for cut_at in range(n, n + 10):
            world, photo = await _world(WELL)
            world.use(Meanwhile({n: _delete(world, photo)}, cut_at))
            await world.run()
            await _check(world, photo, (n, cut_at, world.scissors.names))


async def test_a_photo_deleted_in_another_run_leaves_nothing() -> None:
    async def begun() -> tuple[World, Photo]:
        world, photo = await _world(WELL)
        await world.run()
        preset = photo.preset.model_copy(
            update={"stages": {name: {"suffix": "!"} for name in STAGES}}
        )
        await world.reprocess(photo.id, preset)
        return world, photo

    world, _ = await begun()
    world.use(Scissors())
    await world.run()
    for n in range(1, world.scissors.count + 1):
        world, photo = await begun()
        world.use(Meanwhile({n: _delete(world, photo)}))
        await world.run()
        await _check(world, photo, (n, world.scissors.names[n - 1]))


async def test_an_attempt_that_fails_after_it_has_written_leaves_nothing() -> None:
    world, photo = await _world(WELL)
    write = world.blobs.write

    async def torn(key: str, data: bytes) -> None:
        for action in _delete(world, photo):
            action()
        await write(key, data)
        raise BlobUnavailableError("EIO")

    world.blobs.write = torn  # type: ignore[method-assign]
    await world.run()
    await _check(world, photo, world.scissors.names)
    assert world.publisher.delays_s == []


async def test_while_the_storage_is_away_the_message_stays_until_the_bytes_are_taken_back() -> None:
    world, photo = await _world(WELL)
    body = world.publisher.queues["first"].popleft()
    world.entomb(photo.id)
    away = FakeBlobs()

    async def broken(prefix: str) -> None:
        raise BlobUnavailableError("EIO")

    away.delete_under = broken  # type: ignore[method-assign]
    away.data = world.blobs.data
    world.blobs, mended = away, world.blobs
    assert not await world.deliver("first", body)
    world.blobs = mended
    assert await world.deliver("first", body)
    assert world.blobs.data == {}


LONG_AGO = timedelta(seconds=PATIENCE_S + 1)


async def _tombstone(photos: FakePhotos, blobs: FakeBlobs) -> Photo:
    photo = make_photo()
    await photos.insert(photo)
    deleted = await photos.apply(photo.id, photo.run, photo_deleted(photo, at=utc_now() - LONG_AGO))
    for key in (photo.original, rendition_key(photo.id, "r1", "a", "jpg")):
        blobs.data[key] = b"bytes"
    return deleted.photo


async def _pay(photos: FakePhotos, blobs: FakeBlobs, publisher: FakePublisher) -> int:
    sender = cast("Publisher", publisher)
    return await pay_debts(photos, blobs, sender, Metrics(), asyncio.Event())


async def test_reconcile_erases_what_a_deletion_still_owes() -> None:
    photos, blobs, publisher = FakePhotos(), FakeBlobs(), FakePublisher()
    photo = await _tombstone(photos, blobs)
    other = rendition_key(make_photo().id, "r1", "a", "jpg")
    blobs.data[other] = b"another photo's"
    assert await _pay(photos, blobs, publisher) == 1
    assert await _pay(photos, blobs, publisher) == 0
    assert list(blobs.data) == [other]
    assert not publisher.queues, "a deleted photo was sent on its way"
    assert (await photos.get(photo.id)).revision == photo.revision


async def test_one_photo_that_cannot_be_erased_holds_up_no_other() -> None:
    photos, blobs = FakePhotos(), FakeBlobs()
    stuck, other = await _tombstone(photos, blobs), await _tombstone(photos, blobs)
    delete_under = blobs.delete_under

    async def broken(prefix: str) -> None:
        if stuck.id in prefix:
            raise BlobUnavailableError("EIO")
        await delete_under(prefix)

    blobs.delete_under = broken  # type: ignore[method-assign]
    assert await _pay(photos, blobs, FakePublisher()) == 1
    assert {key.split("/")[2] for key in blobs.data} == {stuck.id}
    blobs.delete_under = delete_under  # type: ignore[method-assign]
    assert await _pay(photos, blobs, FakePublisher()) == 1
    assert blobs.data == {}
    assert (await photos.get(other.id)).status is PhotoStatus.DELETED


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_cut_in_an_erasure_is_made_up_for(after: bool) -> None:
    for n in (1, 2, 3):
        photos, blobs = FakePhotos(), FakeBlobs()
        photo = await _tombstone(photos, blobs)
        photos._scissors = blobs._scissors = scissors = Scissors(n, after=after)
        with pytest.raises(Cut):
            await erase(photo, photos, blobs)
        assert len(scissors.names) == n
        photos._scissors = blobs._scissors = Scissors()
        await _pay(photos, blobs, FakePublisher())
        assert blobs.data == {}
        assert [p.id async for p in photos.owed(before=utc_now())] == []
