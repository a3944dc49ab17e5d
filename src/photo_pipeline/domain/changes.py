"""Every change that a photo can go through, as values.

A change says which transitions it makes, which fields it sets and what the timeline tells
of it. The store applies any of them in the same way, as one conditional update; so neither
the store nor a fake of it knows the state machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from photo_pipeline.domain.findings import Findings
from photo_pipeline.domain.moderation import Moderation, Verdict, awaiting, judged
from photo_pipeline.domain.photo import (
    DETECT,
    Photo,
    PhotoError,
    Position,
    Rendition,
    StageError,
    StageSlot,
    TimelineEntry,
)
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.status import (
    PHOTO_TRANSITIONS,
    STAGE_TRANSITIONS,
    VERDICT_EVENTS,
    EventType,
    PhotoStatus,
    StageStatus,
    sources,
)

_TOLD: Final[Mapping[Verdict, EventType]] = {
    Verdict.APPROVED: EventType.PHOTO_APPROVED,
    Verdict.REJECTED: EventType.PHOTO_REJECTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step of a photo: ``sets`` and ``increments`` are keyed by dotted field path.

    ``owes`` says that something must follow which the change alone does not do: sending the
    photo on its way, erasing its bytes, or telling of a verdict. The store keeps that in the same
    update. ``expects`` are values, by dotted field path, without which it is not legal.
    """

    photo_status: PhotoStatus
    entry: TimelineEntry
    stage: str | None = None
    stage_status: StageStatus | None = None
    sets: Mapping[str, Any] = field(default_factory=dict)
    increments: Mapping[str, int] = field(default_factory=dict)
    owes: bool = False
    expects: Mapping[str, Any] = field(default_factory=dict)

    @property
    def allowed_photo_statuses(self) -> tuple[PhotoStatus, ...]:
        """The statuses of the photo in which this change is legal."""
        if self.entry.type in VERDICT_EVENTS:
            return (self.photo_status,)
        return sources(PHOTO_TRANSITIONS, self.photo_status)

    @property
    def allowed_stage_statuses(self) -> tuple[StageStatus, ...]:
        """The statuses of the stage in which this change is legal."""
        if self.stage_status is None:
            return ()
        return sources(STAGE_TRANSITIONS, self.stage_status)


def stage_started(
    stage: str, *, attempt: int, worker: str, at: datetime, redelivered: bool = False
) -> Change:
    """Enter RUNNING. Counted before the work begins, so that a crash has an owner.

    Only a redelivered message may have been somebody's death.
    """
    slot = f"stages.{stage}"
    unended = {f"{slot}.unended": 1} if redelivered else {}
    return Change(
        photo_status=PhotoStatus.PROCESSING,
        stage=stage,
        stage_status=StageStatus.RUNNING,
        sets={
            f"{slot}.started_at": at,
            f"{slot}.finished_at": None,
            f"{slot}.worker": worker,
            f"{slot}.error": None,
            **({} if redelivered else {f"{slot}.unended": 1}),
            **_position(stage, StageStatus.RUNNING, at),
        },
        increments={f"{slot}.attempts": 1, **unended},
        entry=TimelineEntry(
            at=at, type=EventType.STAGE_STARTED, stage=stage, attempt=attempt, worker=worker
        ),
    )


def stage_done(
    stage: str,
    *,
    recipe: str,
    renditions: Sequence[Rendition],
    facts: Mapping[str, Any],
    next_stage: str | None,
    moderation: Moderation | None = None,
    attempt: int,
    worker: str,
    at: datetime,
) -> Change:
    """Record the stage's results; the next stage waits from this moment on.

    *moderation* is the verdict so far, to which detection adds its word.
    """
    slot = f"stages.{stage}"
    sets: dict[str, Any] = {
        f"{slot}.finished_at": at,
        f"{slot}.unended": 0,
        f"{slot}.worker": worker,
        f"{slot}.error": None,
        f"{slot}.recipe": recipe,
        f"{slot}.renditions": [r.model_dump(mode="python") for r in renditions],
        f"{slot}.facts": dict(facts),
        # Of the last stage, until the photo's end is recorded: a crash may come between.
        **_position(stage, StageStatus.DONE, at),
    }
    if stage == DETECT:
        sets["found"] = Findings.of(facts).model_dump(mode="python")
        if moderation is not None:
            sets["moderation"] = judged(moderation, facts, at).model_dump(mode="python")
    if next_stage is not None:
        sets |= _position(next_stage, StageStatus.PENDING, at)
        sets[f"stages.{next_stage}.queued_at"] = at
    return Change(
        photo_status=PhotoStatus.PROCESSING,
        stage=stage,
        stage_status=StageStatus.DONE,
        sets=sets,
        entry=TimelineEntry(
            at=at, type=EventType.STAGE_DONE, stage=stage, attempt=attempt, worker=worker
        ),
    )


def stage_retrying(
    stage: str, *, error: StageError, attempt: int, worker: str, at: datetime
) -> Change:
    """Note a failed attempt that will be repeated."""
    return _stage_gave_up(
        stage, StageStatus.RETRYING, EventType.STAGE_RETRYING, error, attempt, worker, at
    )


def stage_failed(
    stage: str, *, error: StageError, attempt: int, worker: str, at: datetime
) -> Change:
    """Note a failure for good."""
    return _stage_gave_up(
        stage, StageStatus.FAILED, EventType.STAGE_FAILED, error, attempt, worker, at
    )


def _stage_gave_up(
    stage: str,
    status: StageStatus,
    event: EventType,
    error: StageError,
    attempt: int,
    worker: str,
    at: datetime,
) -> Change:
    slot = f"stages.{stage}"
    return Change(
        photo_status=PhotoStatus.PROCESSING,
        stage=stage,
        stage_status=status,
        sets={
            f"{slot}.finished_at": at,
            f"{slot}.unended": 0,
            f"{slot}.error": error.model_dump(mode="python"),
            **_position(stage, status, at),
        },
        entry=TimelineEntry(
            at=at, type=event, stage=stage, attempt=attempt, worker=worker, error=error
        ),
    )


def photo_done(*, at: datetime) -> Change:
    """End the photo well."""
    return Change(
        photo_status=PhotoStatus.DONE,
        sets={"finished_at": at, "position": None},
        entry=TimelineEntry(at=at, type=EventType.PHOTO_DONE),
    )


def photo_failed(error: StageError, stage: str, *, at: datetime) -> Change:
    """End the photo with the reason of the stage that failed."""
    told = PhotoError(code=error.code, message=error.message, stage=stage)
    return Change(
        photo_status=PhotoStatus.FAILED,
        sets={
            "finished_at": at,
            "error": told.model_dump(mode="python"),
            **_position(stage, StageStatus.FAILED, at),
        },
        entry=TimelineEntry(at=at, type=EventType.PHOTO_FAILED, stage=stage, error=error),
    )


def photo_requeued(
    photo: Photo, *, preset: Preset, pipeline: Sequence[str], from_stage: str, at: datetime
) -> Change:
    """Begin another run at *from_stage*; what earlier stages made stands.

    Every stage keeps what it made in the run before, until it has made it anew.
    """
    first = list(pipeline).index(from_stage)
    before = {name: photo.stages[name] for name in pipeline[:first]}
    waiting = {name: _waiting_again(photo.stages.get(name)) for name in pipeline[first:]}
    waiting[from_stage] = waiting[from_stage].model_copy(update={"queued_at": at})
    moderation = awaiting(preset.gate, photo.moderation)
    if moderation is not None and DETECT in before:  # it does not look again
        moderation = judged(moderation, before[DETECT].facts, at)
    return Change(
        photo_status=PhotoStatus.QUEUED,
        sets={
            "preset": preset.model_dump(mode="python"),
            "pipeline": list(pipeline),
            "stages": {
                name: slot.model_dump(mode="python") for name, slot in (before | waiting).items()
            },
            "finished_at": None,
            "error": None,
            "moderation": moderation.model_dump(mode="python") if moderation else None,
            **_position(from_stage, StageStatus.PENDING, at),
        },
        increments={"run": 1},
        owes=True,
        entry=TimelineEntry(at=at, type=EventType.PHOTO_QUEUED),
    )


def _waiting_again(slot: StageSlot | None) -> StageSlot:
    if slot is None:
        return StageSlot()
    return StageSlot(recipe=slot.recipe, renditions=slot.renditions, facts=slot.facts)


def photo_deleted(photo: Photo, *, at: datetime) -> Change:
    """Leave a tombstone: what was uploaded (name, size, checksum) and what happened to it.

    What was told of the photo, made of it or found out about it goes. The run ends with it, so
    that a worker that comes late changes nothing any more.
    """
    emptied: dict[str, Any] = {
        f"stages.{name}.{field}": empty
        for name in photo.pipeline
        for field, empty in (("recipe", None), ("renditions", []), ("facts", {}))
    }
    return Change(
        photo_status=PhotoStatus.DELETED,
        sets={
            **emptied,
            "metadata": {},
            "focal_point": None,
            "moderation": None,
            "found": None,
            "finished_at": at,
            "position": None,
        },
        increments={"run": 1},
        owes=True,
        entry=TimelineEntry(at=at, type=EventType.PHOTO_DELETED),
    )


def photo_judged(photo: Photo, moderation: Moderation, *, at: datetime) -> Change:
    """Record what a person has decided about a photo at its end, and that it is to be told.

    Legal only as long as the verdict is that of *photo*: of two people one comes first.
    """
    if photo.moderation is None:
        raise ValueError(f"photo {photo.id} has no gate")
    return Change(
        photo_status=PhotoStatus.DONE,
        sets={"moderation": moderation.model_dump(mode="python")},
        expects={"moderation.verdict": photo.moderation.verdict},
        owes=True,
        entry=TimelineEntry(
            at=at, type=_TOLD[moderation.verdict], by=moderation.by, reason=moderation.reason
        ),
    )


def _position(stage: str, status: StageStatus, since: datetime) -> dict[str, Any]:
    return {"position": Position(stage=stage, status=status, since=since).model_dump()}
