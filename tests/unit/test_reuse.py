"""Another run makes again what its recipe changes, and nothing else."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.status import EventType, PhotoStatus, StageStatus
from photo_pipeline.errors import BlobUnavailableError, UnreadableImageError
from support.fakes import FakeBlobs, Scissors
from support.pipeline import STAGES, World, make_photo


def _preset(**suffixes: str) -> Preset:
    stages = {name: {"suffix": suffixes[name]} if name in suffixes else {} for name in STAGES}
    return Preset(name="other", stages=stages)


def _runs(world: World) -> list[int]:
    return [executor.runs for executor in world.executors.values()]


def _keys(photo: Photo) -> dict[str, str]:
    return {rendition.name: rendition.key for rendition in photo.renditions}


async def _done(world: World) -> Photo:
    photo = make_photo()
    await world.accept(photo)
    await world.run()
    return await world.photos.get(photo.id)


async def _again(world: World, photo: Photo, preset: Preset, stage: str | None = None) -> Photo:
    await world.reprocess(photo.id, preset, stage)
    await world.run()
    again = await world.photos.get(photo.id)
    assert again.status is PhotoStatus.DONE
    assert {r.key for r in again.renditions} | {again.original} == set(world.blobs.data)
    return again


@pytest.fixture
def world() -> World:
    return World()


async def test_an_unchanged_recipe_makes_nothing_again(world: World) -> None:
    before = await _done(world)
    written = world.scissors.names.count("write one.jpg")
    after = await _again(world, before, before.preset)
    assert _runs(world) == [1, 1, 1]
    assert world.scissors.names.count("write one.jpg") == written
    assert tuple(after.renditions) == tuple(before.renditions)
    assert [s.facts for s in after.stages.values()] == [s.facts for s in before.stages.values()]
    assert [s.attempts for s in after.stages.values()] == [1, 1, 1]
    assert [e.type for e in after.timeline[before.revision :]] == [
        EventType.PHOTO_QUEUED,
        *([EventType.STAGE_STARTED, EventType.STAGE_DONE] * 3),
        EventType.PHOTO_DONE,
    ]
    first, second = world.publisher.outcomes
    assert (first.revision, second.revision) == (before.revision, after.revision)


@pytest.mark.parametrize(
    ("changed", "runs"),
    [("first", [2, 2, 2]), ("second", [1, 2, 1]), ("third", [1, 1, 2])],
)
async def test_a_changed_recipe_is_made_anew_and_so_is_what_reads_its_result(
    world: World, changed: str, runs: list[int]
) -> None:
    before = await _done(world)
    after = await _again(world, before, _preset(**{changed: "!"}))
    assert _runs(world) == runs
    kept = [n == 1 for n in runs]
    assert [b == a for b, a in zip(before.renditions, after.renditions, strict=True)] == kept
    assert after.preset.name == "other"


async def test_going_back_makes_the_first_bytes_again(world: World) -> None:
    before = await _done(world)
    data = {key: world.blobs.data[key] for key in _keys(before).values()}
    await _again(world, before, _preset(first="!"))
    after = await _again(world, before, before.preset)
    assert tuple(after.renditions) == tuple(before.renditions)
    assert {key: world.blobs.data[key] for key in data} == data


async def test_what_has_gone_missing_is_made_anew(world: World) -> None:
    before = await _done(world)
    del world.blobs.data[_keys(before)["two"]]
    world.blobs.data[_keys(before)["three"]] = b"torn"
    after = await _again(world, before, before.preset)
    assert _runs(world) == [1, 2, 2]
    assert tuple(after.renditions) == tuple(before.renditions)
    assert all(len(world.blobs.data[r.key]) == r.bytes for r in after.renditions)


async def test_facts_that_lack_something_are_found_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def complete(facts: Mapping[str, object]) -> bool:
        seen.append(facts["bytes"])
        return False

    monkeypatch.setitem(STAGES, "second", replace(STAGES["second"], complete=complete))
    world = World()
    before = await _done(world)
    await _again(world, before, before.preset)
    assert _runs(world) == [1, 2, 1]
    assert seen == [before.stages["second"].facts["bytes"]]


async def test_a_run_from_a_stage_leaves_the_stages_before_it_alone(world: World) -> None:
    before = await _done(world)
    after = await _again(world, before, _preset(second="!"), "second")
    assert _runs(world) == [1, 2, 1]
    assert after.stages["first"] == before.stages["first"]
    told = [e.stage for e in after.timeline[before.revision :] if e.stage]
    assert set(told) == {"second", "third"}


async def test_until_a_stage_has_replaced_them_its_old_renditions_stand(world: World) -> None:
    before = await _done(world)
    await world.reprocess(before.id, _preset(first="!"))
    waiting = await world.photos.get(before.id)
    assert tuple(waiting.renditions) == tuple(before.renditions)
    await world.deliver("first", world.publisher.queues["first"].popleft())
    halfway = await world.photos.get(before.id)
    assert _keys(halfway)["one"] != _keys(before)["one"]
    assert _keys(halfway)["two"] == _keys(before)["two"]
    assert {r.key for r in halfway.renditions} | {halfway.original} == set(world.blobs.data)


async def test_what_cannot_be_deleted_does_not_hold_up_the_photo(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await _done(world)

    async def broken(_: FakeBlobs, __: str) -> None:
        raise BlobUnavailableError("EIO")

    monkeypatch.setattr(FakeBlobs, "delete", broken)
    await world.reprocess(before.id, _preset(first="!"))
    await world.run()
    assert (await world.photos.get(before.id)).status is PhotoStatus.DONE
    assert world.publisher.delays_s == []


async def test_a_failed_photo_goes_on_from_where_it_failed(world: World) -> None:
    world.failures["second"].append(UnreadableImageError("no"))
    photo = make_photo()
    await world.accept(photo)
    await world.run()
    failed = await world.photos.get(photo.id)
    assert failed.status is PhotoStatus.FAILED
    after = await _again(world, failed, failed.preset, "second")
    assert _runs(world) == [1, 2, 1]
    assert (after.error, after.stages["second"].error) == (None, None)
    assert [e.type for e in world.publisher.outcomes] == [
        EventType.PHOTO_FAILED,
        EventType.PHOTO_DONE,
    ]


async def test_a_message_of_the_run_before_changes_nothing(world: World) -> None:
    photo = make_photo()
    await world.accept(photo)
    stale = world.publisher.queues["first"][0]
    await world.run()
    waiting = await world.reprocess(photo.id, _preset(first="!"))
    assert await world.deliver("first", stale)
    assert await world.photos.get(photo.id) == waiting
    assert set(world.blobs.data) == {r.key for r in waiting.renditions} | {waiting.original}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("changed", ["first", "third", None])
async def test_another_run_ends_wherever_its_consumer_is_cut(
    after: bool, changed: str | None
) -> None:
    preset = _preset(**{changed: "!"} if changed else {})

    async def run(scissors: Scissors) -> tuple[World, Photo, Photo]:
        world = World()
        before = await _done(world)
        await world.reprocess(before.id, preset)
        world.publisher.outcomes.clear()
        world.use(scissors)
        await world.run()
        return world, before, await world.photos.get(before.id)

    effects = (await run(Scissors()))[0].scissors.count
    assert effects >= len(STAGES) * 6
    for n in range(1, effects + 1):
        world, before, photo = await run(Scissors(n, after=after))
        where = world.scissors.names[n - 1]
        assert world.cuts == 1, where
        assert photo.status is PhotoStatus.DONE, where
        assert {s.status for s in photo.stages.values()} == {StageStatus.DONE}, where
        live = {r.key for r in photo.renditions} | {photo.original}
        assert live <= set(world.blobs.data), where
        # A cut between record and deletion may leave what was replaced, and nothing else.
        assert set(world.blobs.data) - live <= set(_keys(before).values()), where
        assert not world.publisher.dead, where
        assert {e.event_id for e in world.publisher.outcomes} == {f"{photo.id}:{photo.revision}"}, (
            where
        )
        assert len(photo.timeline) == photo.revision, where
