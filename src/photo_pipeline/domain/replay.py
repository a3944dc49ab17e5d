"""What replaying a dead letter comes to: decided here, carried out elsewhere."""

from dataclasses import dataclass
from datetime import datetime

from photo_pipeline.domain.casefile import CaseFile, CaseState
from photo_pipeline.domain.changes import Change
from photo_pipeline.domain.messages import OutcomeEvent, WorkMessage
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.rerun import rerun
from photo_pipeline.domain.status import PhotoStatus, StageStatus
from photo_pipeline.errors import (
    DeadLetterClosedError,
    DeadLetterObsoleteError,
    MalformedMessageError,
    NotReplayableError,
)


@dataclass(frozen=True, slots=True)
class RunAgain:
    """Begin another run of *photo*, which has failed, at the stage that failed."""

    photo: Photo
    change: Change


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Send the message that *photo* still waits for, as a first attempt."""

    photo: Photo
    message: WorkMessage


@dataclass(frozen=True, slots=True)
class TellAgain:
    """Tell the one subscriber that gave it up of *event* again."""

    event: OutcomeEvent


Replay = RunAgain | SendAgain | TellAgain


def decide(case: CaseFile, photo: Photo | None, *, at: datetime) -> Replay:
    """Return what replaying *case* means for *photo*, None if there is none.

    Raises DeadLetterClosedError, NotReplayableError or DeadLetterObsoleteError.
    """
    if case.state is not CaseState.OPEN:
        raise DeadLetterClosedError(f"it was {case.state} before")
    if case.message.bytes > len(case.message.body):
        raise NotReplayableError("its body is too long to be kept")
    try:
        return _decide(case, photo, at)
    except MalformedMessageError as error:
        raise NotReplayableError(f"it cannot be parsed: {error.message}") from error


def _decide(case: CaseFile, photo: Photo | None, at: datetime) -> Replay:
    message: WorkMessage | OutcomeEvent
    if is_of_stage(case):
        message = WorkMessage.decode(case.message.body)
        if message.stage != case.stage:
            raise NotReplayableError(f"it is for stage {message.stage!r}, not {case.stage!r}")
    else:
        message = OutcomeEvent.decode(case.message.body)
    if photo is None:
        raise DeadLetterObsoleteError("there is no such photo")
    if photo.status is PhotoStatus.DELETED:
        raise DeadLetterObsoleteError("the photo was deleted")
    if isinstance(message, OutcomeEvent):
        return TellAgain(message)
    return _decide_about_work(message, photo, at)


def is_of_stage(case: CaseFile) -> bool:
    """Return whether a stage gave the message up, and not a subscriber."""
    return "." not in case.stage


def _decide_about_work(message: WorkMessage, photo: Photo, at: datetime) -> Replay:
    slot = photo.stages.get(message.stage)
    if photo.run != message.run or slot is None:
        raise DeadLetterObsoleteError("the photo is on a newer run")
    if photo.status is PhotoStatus.FAILED and slot.status is StageStatus.FAILED:
        # As it was uploaded, and the way it was to go: the fault was not the photo's.
        change = rerun(
            photo,
            preset=photo.preset,
            pipeline=photo.pipeline,
            from_stage=message.stage,
            at=at,
        )
        return RunAgain(photo, change)
    if photo.status in (PhotoStatus.QUEUED, PhotoStatus.PROCESSING) and slot.status in (
        *(StageStatus.PENDING, StageStatus.RUNNING, StageStatus.RETRYING),
    ):
        return SendAgain(photo, message.replayed())
    raise DeadLetterObsoleteError(f"the photo is {photo.status}, {message.stage} is {slot.status}")
