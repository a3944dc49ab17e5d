"""The state machine of a photo and of its stages: it exists here and nowhere else."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar


class PhotoStatus(StrEnum):
    """Where a photo as a whole stands."""

    QUEUED = "queued"  #: accepted; no stage has begun
    PROCESSING = "processing"  #: some stage has begun
    DONE = "done"  #: every stage is done
    FAILED = "failed"  #: a stage has failed for good
    DELETED = "deleted"  #: tombstone


class StageStatus(StrEnum):
    """Where one stage of one photo stands."""

    PENDING = "pending"  #: not begun
    RUNNING = "running"  #: a worker has it
    RETRYING = "retrying"  #: failed, waits for its next attempt
    DONE = "done"
    FAILED = "failed"


class EventType(StrEnum):
    """What a timeline entry, a stream frame or an outcome event tells."""

    PHOTO_QUEUED = "photo.queued"
    STAGE_STARTED = "stage.started"
    STAGE_DONE = "stage.done"
    STAGE_RETRYING = "stage.retrying"
    STAGE_FAILED = "stage.failed"
    PHOTO_DONE = "photo.done"
    PHOTO_FAILED = "photo.failed"
    PHOTO_DELETED = "photo.deleted"
    PHOTO_APPROVED = "photo.approved"  #: by a person; tells nothing of the processing
    PHOTO_REJECTED = "photo.rejected"


# A stage in work may be begun again (a redelivery finds it so), and a parallel attempt of
# the same stage may end it while this one waits for a retry: both are legal.
_IN_WORK: Final = frozenset(
    {StageStatus.RUNNING, StageStatus.RETRYING, StageStatus.DONE, StageStatus.FAILED}
)

STAGE_TRANSITIONS: Final[Mapping[StageStatus, frozenset[StageStatus]]] = {
    StageStatus.PENDING: frozenset({StageStatus.RUNNING}),
    StageStatus.RUNNING: _IN_WORK,
    StageStatus.RETRYING: _IN_WORK,
    StageStatus.DONE: frozenset(),
    StageStatus.FAILED: frozenset(),
}

PHOTO_TRANSITIONS: Final[Mapping[PhotoStatus, frozenset[PhotoStatus]]] = {
    PhotoStatus.QUEUED: frozenset({PhotoStatus.PROCESSING, PhotoStatus.DELETED}),
    PhotoStatus.PROCESSING: frozenset(
        {PhotoStatus.PROCESSING, PhotoStatus.DONE, PhotoStatus.FAILED, PhotoStatus.DELETED}
    ),
    # Back to queued: another run was asked for.
    PhotoStatus.DONE: frozenset({PhotoStatus.QUEUED, PhotoStatus.DELETED}),
    PhotoStatus.FAILED: frozenset({PhotoStatus.QUEUED, PhotoStatus.DELETED}),
    PhotoStatus.DELETED: frozenset(),
}

TERMINAL: Final = frozenset({PhotoStatus.DONE, PhotoStatus.FAILED, PhotoStatus.DELETED})
"""A photo in one of these changes no more by itself, and its status stream ends."""

VERDICT_EVENTS: Final = frozenset({EventType.PHOTO_APPROVED, EventType.PHOTO_REJECTED})
"""What people decide about photos that have reached their end."""

TERMINAL_EVENTS: Final = frozenset(
    {
        EventType.PHOTO_DONE,
        EventType.PHOTO_FAILED,
        EventType.PHOTO_DELETED,
        *VERDICT_EVENTS,
    }
)
"""Behind these a photo changes no more by itself."""

_Status = TypeVar("_Status", PhotoStatus, StageStatus)


def sources(
    transitions: Mapping[_Status, frozenset[_Status]], target: _Status
) -> tuple[_Status, ...]:
    """Return the statuses from which *target* may be entered."""
    return tuple(source for source, targets in transitions.items() if target in targets)
