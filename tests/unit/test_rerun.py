"""Another run: when it may begin, what it keeps, and where its first message goes."""

from typing import Any

import pytest

from photo_pipeline.domain.changes import photo_deleted
from photo_pipeline.domain.messages import first_message
from photo_pipeline.domain.photo import Photo, StageError, StageSlot, utc_now
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.rerun import rerun
from photo_pipeline.domain.status import EventType, PhotoStatus, StageStatus
from photo_pipeline.errors import (
    NotFinishedError,
    PhotoDeletedError,
    PhotoPipelineError,
    StageNotReusableError,
    UnknownStageError,
)
from support.fakes import FakePhotos
from support.pipeline import STAGES, make_photo

PIPELINE = tuple(STAGES)
DONE = StageSlot(
    status=StageStatus.DONE,
    attempts=3,
    worker="w",
    recipe="r",
    facts={"a": 1},
    finished_at=utc_now(),
)
FAILED = StageSlot(
    status=StageStatus.FAILED,
    attempts=4,
    error=StageError(code="c", message="m", retryable=False),
)


def _photo(status: PhotoStatus = PhotoStatus.DONE, **stages: StageSlot) -> Photo:
    return make_photo(status=status, stages=dict.fromkeys(PIPELINE, DONE) | stages)


def _preset(**stages: dict[str, Any]) -> Preset:
    return Preset(name="other", stages={name: {} for name in PIPELINE} | stages)


def _decide(photo: Photo, preset: Preset | None = None, from_stage: str | None = None) -> None:
    rerun(
        photo,
        preset=preset or photo.preset,
        pipeline=PIPELINE,
        from_stage=from_stage,
        at=utc_now(),
    )


@pytest.mark.parametrize(
    ("photo", "preset", "from_stage", "error"),
    [
        (_photo(), None, None, None),
        (_photo(), None, "third", None),
        (_photo(), _preset(first={"suffix": "x"}), None, None),
        (_photo(), _preset(first={"suffix": "x"}), "first", None),
        (_photo(), _preset(second={"suffix": "x"}), "second", None),
        (_photo(PhotoStatus.FAILED, second=FAILED), None, "second", None),
        (_photo(PhotoStatus.FAILED, first=FAILED), None, None, None),
        (_photo(PhotoStatus.QUEUED), None, None, NotFinishedError),
        (_photo(PhotoStatus.PROCESSING), None, None, NotFinishedError),
        (_photo(PhotoStatus.DELETED), None, None, PhotoDeletedError),
        (_photo(PhotoStatus.DELETED), None, "nothing", PhotoDeletedError),
        (_photo(), None, "nothing", UnknownStageError),
        (_photo(), _preset(first={"suffix": "x"}), "second", StageNotReusableError),
        (_photo(PhotoStatus.FAILED, second=FAILED), None, "third", StageNotReusableError),
        (_photo(PhotoStatus.FAILED, second=StageSlot()), None, "third", StageNotReusableError),
    ],
)
def test_when_another_run_may_begin(
    photo: Photo,
    preset: Preset | None,
    from_stage: str | None,
    error: type[PhotoPipelineError] | None,
) -> None:
    if error is None:
        _decide(photo, preset, from_stage)
        return
    with pytest.raises(error):
        _decide(photo, preset, from_stage)


def test_a_stage_that_a_photo_has_never_been_through_is_where_it_must_begin() -> None:
    photo = make_photo(("second", "third"), status=PhotoStatus.DONE, stages={"second": DONE})
    with pytest.raises(StageNotReusableError):
        _decide(photo, from_stage="second")
    _decide(photo)


async def _rerun(photo: Photo, preset: Preset, from_stage: str | None = None) -> Photo:
    photos = FakePhotos()
    await photos.insert(photo)
    await photos.paid(photo.id, photo.run)
    change = rerun(photo, preset=preset, pipeline=PIPELINE, from_stage=from_stage, at=utc_now())
    result = await photos.apply(photo.id, photo.run, change)
    assert result.applied
    assert [p.id async for p in photos.owed(before=utc_now().replace(year=9999))] == [photo.id]
    assert not (await photos.apply(photo.id, photo.run, change)).applied, "begun twice"
    return result.photo


async def test_a_run_begins_anew_and_keeps_what_was_made_before() -> None:
    before = _photo(PhotoStatus.FAILED, second=FAILED)
    preset = _preset(second={"suffix": "x"})
    photo = await _rerun(before, preset, "second")
    assert (photo.status, photo.run, photo.revision) == (PhotoStatus.QUEUED, 2, before.revision + 1)
    assert photo.timeline[-1].type is EventType.PHOTO_QUEUED
    assert photo.preset == preset
    assert (photo.error, photo.finished_at) == (None, None)
    assert photo.stages["first"] == DONE
    second, third = photo.stages["second"], photo.stages["third"]
    assert (second.status, second.attempts, second.error) == (StageStatus.PENDING, 0, None)
    assert second.queued_at is not None
    assert (third.status, third.attempts, third.queued_at) == (StageStatus.PENDING, 0, None)
    assert (third.recipe, third.facts) == (DONE.recipe, DONE.facts)
    assert photo.position is not None
    assert (photo.position.stage, photo.position.status) == ("second", StageStatus.PENDING)


@pytest.mark.parametrize(
    ("from_stage", "stage", "remaining"),
    [
        (None, "first", ("second", "third")),
        ("second", "second", ("third",)),
        ("third", "third", ()),
    ],
)
async def test_the_first_message_goes_where_the_run_begins(
    from_stage: str | None, stage: str, remaining: tuple[str, ...]
) -> None:
    message = first_message(await _rerun(_photo(), _preset(), from_stage))
    assert (message.run, message.stage, message.remaining) == (2, stage, remaining)
    assert (message.attempt, message.preset) == (1, "other")


async def test_a_photo_of_an_older_pipeline_goes_through_the_present_one() -> None:
    old = make_photo(
        ("zeroth", "first"),
        status=PhotoStatus.DONE,
        stages=dict.fromkeys(("zeroth", "first"), DONE),
    )
    photo = await _rerun(old, _preset())
    assert photo.pipeline == PIPELINE
    assert set(photo.stages) == set(PIPELINE)
    assert photo.stages["first"].recipe == DONE.recipe


@pytest.mark.parametrize("status", [s for s in PhotoStatus if s is not PhotoStatus.DELETED])
async def test_a_tombstone_keeps_the_story_and_nothing_of_the_picture(status: PhotoStatus) -> None:
    photos = FakePhotos()
    photo = _photo(status).model_copy(
        update={"metadata": {"album": "secret"}, "focal_point": (0.5, 0.5)}
    )
    await photos.insert(photo)
    change = photo_deleted(photo, at=utc_now())
    result = await photos.apply(photo.id, photo.run, change)
    assert result.applied
    stone = result.photo
    assert (stone.status, stone.run, stone.revision) == (PhotoStatus.DELETED, 2, 2)
    assert stone.timeline[-1].type is EventType.PHOTO_DELETED
    assert (stone.metadata, stone.focal_point, stone.position) == ({}, None, None)
    assert stone.finished_at == stone.updated_at
    for slot in stone.stages.values():
        assert (slot.recipe, slot.renditions, slot.facts) == (None, (), {})
    assert [p.id async for p in photos.owed(before=utc_now().replace(year=9999))] == [photo.id]
    for run in (1, 2):  # neither again, nor back to life
        assert not (await photos.apply(photo.id, run, change)).applied
        again = rerun(
            photo.model_copy(update={"status": PhotoStatus.DONE}),
            preset=photo.preset,
            pipeline=PIPELINE,
            from_stage=None,
            at=utc_now(),
        )
        assert not (await photos.apply(photo.id, run, again)).applied
