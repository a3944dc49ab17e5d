"""Another run of a photo that has reached its end: decided here, carried out elsewhere."""

from collections.abc import Sequence
from datetime import datetime

from photo_pipeline.domain.changes import Change, photo_requeued
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.status import TERMINAL, PhotoStatus, StageStatus
from photo_pipeline.errors import (
    NotFinishedError,
    PhotoDeletedError,
    StageNotReusableError,
    UnknownStageError,
)


def rerun(
    photo: Photo,
    *,
    preset: Preset,
    pipeline: Sequence[str],
    from_stage: str | None,
    at: datetime,
) -> Change:
    """Return the change that begins another run of *photo* with *preset*.

    *from_stage* (default: the first) is where it begins; the stages before it must be done, and
    the same in the new preset. Raises PhotoDeletedError, NotFinishedError, UnknownStageError or
    StageNotReusableError.
    """
    if photo.status is PhotoStatus.DELETED:
        raise PhotoDeletedError(f"photo {photo.id} was deleted")
    if photo.status not in TERMINAL:
        raise NotFinishedError(f"photo {photo.id} is {photo.status}; wait for its outcome")
    start = from_stage or pipeline[0]
    if start not in pipeline:
        raise UnknownStageError(f"no stage {start!r}; there are: {', '.join(pipeline)}")
    for name in pipeline[: list(pipeline).index(start)]:
        slot = photo.stages.get(name)
        if slot is None or slot.status is not StageStatus.DONE:
            raise StageNotReusableError(f"{name} is not done: the run must begin there")
        if preset.stages.get(name) != photo.preset.stages.get(name):
            raise StageNotReusableError(
                f"preset {preset.name!r} changes {name}: the run must begin there"
            )
    return photo_requeued(photo, preset=preset, pipeline=pipeline, from_stage=start, at=at)
