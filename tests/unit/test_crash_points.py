"""Cut the consumer before and after every single effect, redeliver, and see nothing lost."""

import pytest

from photo_pipeline.domain.status import PhotoStatus, StageStatus
from photo_pipeline.errors import BlobUnavailableError, UnreadableImageError
from support.fakes import Meanwhile, Scissors
from support.pipeline import STAGES, World, make_photo


async def _run(scissors: Scissors, failing: dict[str, list[Exception]]) -> tuple[World, str]:
    world = World(scissors)
    for stage, errors in failing.items():
        world.failures[stage].extend(errors)
    photo = make_photo()
    await world.accept(photo)
    await world.run()
    return world, photo.id


async def _effects(failing: dict[str, list[Exception]]) -> int:
    world, _ = await _run(Scissors(), failing)
    return world.scissors.count


async def test_all_effects_are_where_the_order_of_work_says() -> None:
    world, _ = await _run(Scissors(), {})
    first = world.scissors.names[: world.scissors.names.index("ack") + 1]
    assert first == [
        *("stage.started", "publish status"),
        "read photo.jpg",
        "transform",
        "write one.jpg",
        *("stage.done", "publish status"),
        "publish second",
        "ack",
    ]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_photo_is_done_wherever_its_consumer_is_cut(after: bool) -> None:
    effects = await _effects({})
    assert effects >= len(STAGES) * 9
    for n in range(1, effects + 1):
        world, photo_id = await _run(Scissors(n, after=after), {})
        photo = await world.photos.get(photo_id)
        where = world.scissors.names[n - 1]
        assert world.cuts == 1, where
        assert photo.status is PhotoStatus.DONE, where
        assert {s.status for s in photo.stages.values()} == {StageStatus.DONE}, where
        assert [r.name for r in photo.renditions] == ["one", "two", "three"], where
        assert all(r.key in world.blobs.data for r in photo.renditions), where
        assert not world.publisher.dead, where
        # At worst told twice, and then as the same event, which a subscriber drops.
        assert len(world.publisher.outcomes) in (1, 2), where
        assert len({e.event_id for e in world.publisher.outcomes}) == 1, where
        assert len(photo.timeline) == photo.revision, where


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_failure_is_told_wherever_its_consumer_is_cut(after: bool) -> None:
    def failing() -> dict[str, list[Exception]]:
        # Twice, because the redelivered attempt meets the same photo.
        return {"second": [UnreadableImageError("broken"), UnreadableImageError("broken")]}

    effects = await _effects(failing())
    for n in range(1, effects + 1):
        world, photo_id = await _run(Scissors(n, after=after), failing())
        photo = await world.photos.get(photo_id)
        where = world.scissors.names[n - 1]
        assert photo.status is PhotoStatus.FAILED, where
        assert photo.error is not None, where
        assert (photo.error.code, photo.error.stage) == ("unreadable_image", "second"), where
        assert len({e.event_id for e in world.publisher.outcomes}) == 1, where
        dead = world.publisher.dead["second"]
        assert len({letter.message_id for letter in dead}) == 1, where
        assert {letter.headers["x-error-code"] for letter in dead} == {"unreadable_image"}, where


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_retry_is_kept_wherever_its_consumer_is_cut(after: bool) -> None:
    def failing() -> dict[str, list[Exception]]:
        return {"first": [BlobUnavailableError("EIO")]}

    effects = await _effects(failing())
    for n in range(1, effects + 1):
        world, photo_id = await _run(Scissors(n, after=after), failing())
        photo = await world.photos.get(photo_id)
        where = world.scissors.names[n - 1]
        assert photo.status is PhotoStatus.DONE, where
        assert len({e.event_id for e in world.publisher.outcomes}) == 1, where
        assert not world.publisher.dead, where


@pytest.mark.parametrize("failing", [{}, {"third": [UnreadableImageError("broken")]}])
async def test_an_outcome_is_told_though_another_run_begins_before_it_was(
    failing: dict[str, list[Exception]],
) -> None:
    world, _ = await _run(Scissors(), failing)
    (first,) = world.publisher.outcomes
    n = world.scissors.names.index("publish outcome") + 1

    world = World()
    for stage, errors in failing.items():
        world.failures[stage].extend(errors)
    photo = make_photo()
    world.use(Meanwhile({n: [lambda: world.requeue(photo.id)]}, n))
    await world.accept(photo)
    await world.run()
    assert world.cuts == 1
    told = {e.event_id: e.type for e in world.publisher.outcomes}
    assert told[f"{photo.id}:{first.revision}"] is first.type
    assert len(told) == 2
    assert (await world.photos.get(photo.id)).status is PhotoStatus.DONE
