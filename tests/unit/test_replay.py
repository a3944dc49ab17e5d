"""What replaying a dead letter comes to."""

from typing import Any

import pytest

from photo_pipeline.domain.casefile import CaseFile, CaseState
from photo_pipeline.domain.messages import WorkMessage, first_message
from photo_pipeline.domain.photo import Photo, StageSlot, utc_now
from photo_pipeline.domain.replay import RunAgain, SendAgain, TellAgain, decide
from photo_pipeline.domain.status import PhotoStatus, StageStatus
from photo_pipeline.errors import (
    DeadLetterClosedError,
    DeadLetterObsoleteError,
    NotReplayableError,
    PhotoPipelineError,
)
from support.casefiles import make_case
from support.fakes import FakePhotos
from support.pipeline import STAGES, World, make_outcome, make_photo

MONITOR = "processed_images.monitor"
DONE = StageSlot(status=StageStatus.DONE)
FAILED = StageSlot(status=StageStatus.FAILED)


def _photo(status: PhotoStatus, stage: StageStatus = StageStatus.PENDING, **more: Any) -> Photo:
    slots = dict.fromkeys(STAGES, StageSlot()) | {"first": StageSlot(status=stage)}
    return make_photo(status=status, **({"stages": slots} | more))


async def test_a_failed_photo_gets_another_run_from_the_stage_that_failed() -> None:
    stages = {"first": DONE, "second": FAILED, "third": StageSlot()}
    photo = _photo(PhotoStatus.FAILED, stages=stages)
    replay = decide(make_case(photo, stage="second"), photo, at=utc_now())
    assert isinstance(replay, RunAgain)
    photos = FakePhotos()
    await photos.insert(photo)
    result = await photos.apply(photo.id, photo.run, replay.change)
    assert result.applied
    after = result.photo
    assert (after.status, after.run, after.preset) == (PhotoStatus.QUEUED, 2, photo.preset)
    assert after.timeline[:-1] == photo.timeline
    assert first_message(after).stage == "second"


@pytest.mark.parametrize("stage", [StageStatus.PENDING, StageStatus.RUNNING, StageStatus.RETRYING])
def test_a_photo_that_still_waits_gets_the_message_as_a_first_attempt(stage: StageStatus) -> None:
    photo = _photo(PhotoStatus.PROCESSING, stage)
    message = first_message(photo).again(attempt=4, crashes=1)
    replay = decide(make_case(photo, body=message.encode()), photo, at=utc_now())
    assert isinstance(replay, SendAgain)
    sent = replay.message
    assert (sent.attempt, sent.crashes, sent.replays) == (1, 0, 1)
    assert sent.remaining == message.remaining


def test_an_event_goes_to_its_subscriber_again() -> None:
    event = make_outcome()
    photo = make_photo(status=PhotoStatus.DONE, run=3)
    replay = decide(make_case(stage=MONITOR, body=event.encode()), photo, at=utc_now())
    assert replay == TellAgain(event)


def _foreign(case: CaseFile) -> CaseFile:
    body = WorkMessage.decode(case.message.body).model_copy(update={"stage": "second"}).encode()
    message = case.message.model_copy(update={"body": body, "bytes": len(body)})
    return case.model_copy(update={"message": message})


def _cut(case: CaseFile) -> CaseFile:
    message = case.message.model_copy(update={"bytes": case.message.bytes + 1})
    return case.model_copy(update={"message": message})


WAITING = _photo(PhotoStatus.QUEUED)


@pytest.mark.parametrize(
    ("case", "photo", "error"),
    [
        (make_case(WAITING), None, DeadLetterObsoleteError),
        (make_case(WAITING), _photo(PhotoStatus.DELETED), DeadLetterObsoleteError),
        (make_case(WAITING), _photo(PhotoStatus.QUEUED, run=2), DeadLetterObsoleteError),
        (make_case(WAITING), make_photo(["second"]), DeadLetterObsoleteError),
        (make_case(WAITING), _photo(PhotoStatus.DONE, StageStatus.DONE), DeadLetterObsoleteError),
        (make_case(WAITING), _photo(PhotoStatus.FAILED), DeadLetterObsoleteError),
        (
            make_case(WAITING),
            _photo(PhotoStatus.PROCESSING, StageStatus.DONE),
            DeadLetterObsoleteError,
        ),
        (
            make_case(stage=MONITOR, body=make_outcome().encode()),
            _photo(PhotoStatus.DELETED),
            DeadLetterObsoleteError,
        ),
        (make_case(body=b"junk"), WAITING, NotReplayableError),
        (make_case(body=b"junk", stage=MONITOR), WAITING, NotReplayableError),
        (_foreign(make_case(WAITING)), WAITING, NotReplayableError),
        (_cut(make_case(WAITING)), WAITING, NotReplayableError),
        (
            make_case(WAITING).model_copy(update={"state": CaseState.REPLAYED}),
            WAITING,
            DeadLetterClosedError,
        ),
        (
            make_case(WAITING).model_copy(update={"state": CaseState.DISCARDED}),
            None,
            DeadLetterClosedError,
        ),
    ],
)
def test_what_is_not_replayed_says_why(
    case: CaseFile, photo: Photo | None, error: type[PhotoPipelineError]
) -> None:
    with pytest.raises(error):
        decide(case, photo, at=utc_now())


async def test_a_replayed_message_that_dies_again_is_another_case() -> None:
    """What the worker does with the message keeps its number of replays, up to the next stage."""
    world = World()
    photo = make_photo()
    await world.accept(photo)
    replayed = first_message(photo).replayed()
    assert replayed.again(attempt=2, crashes=1).replays == 1
    following = replayed.forward()
    assert following is not None
    assert following.replays == 0
