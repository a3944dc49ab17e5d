"""What travels through RabbitMQ: JSON that refers to pictures and never contains one."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from photo_pipeline.domain.document import StatusDocument, status_document
from photo_pipeline.domain.photo import Photo, StageError, TimelineEntry
from photo_pipeline.domain.status import TERMINAL_EVENTS, VERDICT_EVENTS, EventType, StageStatus
from photo_pipeline.errors import MalformedMessageError

_LONGEST_NAME: Final = 100  # an id has 36 characters, and no slip has this many stages
_FAULTS_TOLD: Final = 5  # of a body that does not parse
OUTCOMES: Final = frozenset({EventType.PHOTO_DONE, EventType.PHOTO_FAILED})
# A tombstone is a run of its own, so that what comes late finds its run over.
_BEGIN_A_RUN: Final = frozenset({EventType.PHOTO_QUEUED, EventType.PHOTO_DELETED})


_Name = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]


class _Message(BaseModel):
    # Unknown fields are ignored, so that a newer producer does not break an older consumer.
    model_config = ConfigDict(frozen=True, extra="ignore")

    def encode(self) -> bytes:
        """Return the message as UTF-8 JSON."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Parse *body*; raise MalformedMessageError with every fault in one line."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}"
                for e in error.errors(include_url=False)[:_FAULTS_TOLD]
            )
            raise MalformedMessageError(f"{cls.__name__}: {faults}") from error


class WorkMessage(_Message):
    """A photo on its way through the stages, with its routing slip.

    ``attempt`` counts from 1 and is our own: RabbitMQ's counters differ between versions.
    ``crashes`` counts the child processes that died over this photo in this stage, ``replays``
    how often the message was sent again from the dead letters: so each of its deaths is a case.
    """

    v: Literal[1] = 1
    photo_id: str = Field(min_length=1, max_length=_LONGEST_NAME)
    run: int = Field(ge=1)
    stage: str = Field(min_length=1, max_length=_LONGEST_NAME)
    remaining: tuple[_Name, ...] = Field(max_length=_LONGEST_NAME)
    attempt: int = Field(default=1, ge=1)
    crashes: int = Field(default=0, ge=0)
    replays: int = Field(default=0, ge=0)
    original: str
    preset: str

    def forward(self) -> Self | None:
        """Return the message for the next stage of the slip, or None after the last."""
        if not self.remaining:
            return None
        following, *rest = self.remaining
        return self.model_copy(
            update={
                "stage": following,
                "remaining": tuple(rest),
                "attempt": 1,
                "crashes": 0,
                "replays": 0,
            }
        )

    def again(self, *, attempt: int, crashes: int) -> Self:
        """Return the message for the next attempt of the same stage."""
        return self.model_copy(update={"attempt": attempt, "crashes": crashes})

    def replayed(self) -> Self:
        """Return the message for a fresh first attempt after it had died."""
        return self.model_copy(update={"attempt": 1, "crashes": 0, "replays": self.replays + 1})


def first_message(photo: Photo) -> WorkMessage:
    """Return the message that starts *photo* on its run: with the first stage not done."""
    done = StageStatus.DONE
    stage, *remaining = [n for n in photo.pipeline if photo.stages[n].status is not done] or [
        photo.pipeline[-1]  # which only forwards, as after a crash between record and forward
    ]
    return WorkMessage(
        photo_id=photo.id,
        run=photo.run,
        stage=stage,
        remaining=tuple(remaining),
        original=photo.original,
        preset=photo.preset.name,
    )


class TrialMessage(_Message):
    """The wish to know whether *stage* can do with a photo now what it could not do before.

    A worker runs the stage, keeps nothing, changes nothing and answers. Nobody waits for the
    answer any more at ``answer_before``.
    """

    v: Literal[1] = 1
    photo_id: str = Field(min_length=1, max_length=_LONGEST_NAME)
    stage: str = Field(min_length=1, max_length=_LONGEST_NAME)
    answer_before: datetime


class TrialError(BaseModel):
    """Why the stage failed again; ``fingerprint`` tells whether in the same way."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    type: str
    fingerprint: str


class TrialAnswer(_Message):
    """How a trial went: well if there is no ``error``. ``work_ms`` is how long it took."""

    photo_id: str
    stage: str
    worker: str
    version: str
    work_ms: int
    error: TrialError | None


class StatusEvent(_Message):
    """One timeline entry on its way to whoever follows the photo; also the stream's frame."""

    type: EventType
    photo_id: str
    revision: int
    at: datetime
    stage: str | None = None
    attempt: int | None = None
    worker: str | None = None
    error: StageError | None = None
    by: str | None = None
    reason: str | None = None

    def encode(self) -> bytes:
        """Return the event as UTF-8 JSON, without the fields that do not apply."""
        return self.model_dump_json(exclude_none=True).encode()

    @property
    def ends_photo(self) -> bool:
        """Whether no further change follows by itself."""
        return self.type in TERMINAL_EVENTS


def status_event(photo_id: str, revision: int, entry: TimelineEntry) -> StatusEvent:
    """Return the event that tells the change of *photo_id* to *revision*."""
    return StatusEvent(photo_id=photo_id, revision=revision, **dict(entry))


def status_events(photo: Photo, since: int = 0) -> list[StatusEvent]:
    """Return every change after revision *since*, oldest first."""
    return [
        status_event(photo.id, revision, entry)
        for revision, entry in enumerate(photo.timeline, start=1)
        if revision > since
    ]


def latest_event(photo: Photo) -> StatusEvent:
    """Return the event of the last change."""
    return status_event(photo.id, photo.revision, photo.timeline[-1])


class OutcomeEvent(_Message):
    """The one event per outcome of a photo on ``processed_images``, and one per verdict on it.

    ``event_id`` is ``<photo id>:<revision>`` and the same in every repetition, so that a
    subscriber can drop repeats.
    """

    v: Literal[1] = 1
    event_id: str
    type: EventType
    photo_id: str
    revision: int
    at: datetime
    photo: StatusDocument


def outcome_event(photo: Photo) -> OutcomeEvent:
    """Return the outcome of *photo*, which must have reached one; the same whenever asked."""
    return _outcome(photo, next(e for e in reversed(status_events(photo)) if e.type in OUTCOMES))


def outcome_of_run(photo: Photo, run: int) -> OutcomeEvent | None:
    """Return the outcome that *run* of *photo* had, if it had one; the same whenever asked.

    The photo may be on a later run by now, or deleted: told is the document as it stands.
    """
    at = 0
    for event in status_events(photo):
        if event.type in _BEGIN_A_RUN:
            at += 1
        if at == run and event.type in OUTCOMES:
            return _outcome(photo, event)
    return None


def verdict_events(photo: Photo) -> list[OutcomeEvent]:
    """Return what people have decided about *photo*, oldest first; the same whenever asked."""
    return [
        _outcome(photo, event) for event in status_events(photo) if event.type in VERDICT_EVENTS
    ]


def _outcome(photo: Photo, event: StatusEvent) -> OutcomeEvent:
    return OutcomeEvent(
        event_id=f"{photo.id}:{event.revision}",
        type=event.type,
        photo_id=photo.id,
        revision=event.revision,
        at=event.at,
        photo=status_document(photo),
    )


def describe_body(body: bytes) -> dict[str, Any]:
    """Return what can be told of a body that does not parse, for a dead letter's headers."""
    return {"bytes": len(body), "begins": body[:200].decode("utf-8", "replace")}
