"""A photo as the pipeline keeps it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from uuid_utils import uuid7

from photo_pipeline.domain.findings import Findings
from photo_pipeline.domain.moderation import Moderation
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.stage import Box, Subject
from photo_pipeline.domain.status import EventType, PhotoStatus, StageStatus

DETECT: Final = "detect"
FACES: Final = "faces"
"""Where faces stand: the facts of this stage, under this name, each with a ``box``."""


def new_photo_id() -> str:
    """Return a fresh photo id: a UUIDv7 (RFC 9562) as text, so that ids sort by time."""
    return str(uuid7())


def created_at(photo_id: str) -> datetime:
    """Return when the id was made, as a UUIDv7 says itself; ValueError when it is none."""
    parsed = UUID(photo_id)
    if parsed.version != 7:  # noqa: PLR2004  # the version with a time (RFC 9562)
        raise ValueError(f"not a UUIDv7: {photo_id!r}")
    return datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC)


def utc_now() -> datetime:
    """Return the time in UTC, to the millisecond: MongoDB keeps no more."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class StageError(_Facts):
    """Why an attempt failed: the stable code, a sentence, and whether a retry may help."""

    code: str
    message: str
    retryable: bool


class PhotoError(_Facts):
    """Why a photo failed, and in which stage."""

    code: str
    message: str
    stage: str | None = None


class Rendition(_Facts):
    """A stored picture; width and height in displayed pixels, ``key`` names its blob.

    ``receipt`` is missing where a version without receipts made it.
    """

    name: str
    stage: str
    width: int
    height: int
    format: str
    content_type: str
    bytes: int
    sha256: str
    key: str
    receipt: Receipt | None = None


class StageSlot(_Facts):
    """What is known of one stage of one photo.

    ``attempts`` counts how often it was begun in this run, ``unended`` how often since it last
    came to an end of any kind. ``renditions``, ``facts`` and the ``recipe`` that they were made
    by may be an earlier run's: they stay until this run's replace them.
    """

    status: StageStatus = StageStatus.PENDING
    attempts: int = 0
    unended: int = 0
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    worker: str | None = None
    error: StageError | None = None
    recipe: str | None = None
    renditions: tuple[Rendition, ...] = ()
    facts: Mapping[str, Any] = Field(default_factory=dict)


class Position(_Facts):
    """The stage that a photo waits for, is in, or failed in, and since when: for queries.

    DONE is the last stage for the moment until the photo's end is recorded.
    """

    stage: str
    status: StageStatus
    since: datetime


class TimelineEntry(_Facts):
    """One change of a photo. The n-th entry (from 1) is the change to revision n.

    ``by`` and ``reason`` are of a person's decision.
    """

    at: datetime
    type: EventType
    stage: str | None = None
    attempt: int | None = None
    worker: str | None = None
    error: StageError | None = None
    by: str | None = None
    reason: str | None = None


class Photo(_Facts):
    """Everything known of a photo: the status document as it is stored.

    ``owed_since`` is when the oldest debt began that is still open, set by the store alone.
    """

    id: str = Field(alias="_id")
    status: PhotoStatus = PhotoStatus.QUEUED
    revision: int = 1
    run: int = 1
    filename: str
    format: str
    content_type: str
    bytes: int
    sha256: str
    width: int
    height: int
    preset: Preset
    pipeline: tuple[str, ...]
    focal_point: tuple[float, float] | None = None
    metadata: Mapping[str, Any] = Field(default_factory=dict)
    original: str
    traceparent: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    position: Position | None = None
    moderation: Moderation | None = None
    found: Findings | None = None
    stages: Mapping[str, StageSlot]
    timeline: tuple[TimelineEntry, ...]
    error: PhotoError | None = None
    owed_since: datetime | None = None

    @property
    def renditions(self) -> Iterator[Rendition]:
        """Every rendition, in the order of the pipeline."""
        for stage in self.pipeline:
            yield from self.stages[stage].renditions

    def rendition(self, name: str) -> Rendition | None:
        """Return the rendition called *name*, if it exists by now."""
        return next((r for r in self.renditions if r.name == name), None)

    def withholds(self, name: str, stage: str | None = None) -> bool:
        """Say whether the picture called *name* must not be served.

        *stage* is the one that has made it, perhaps in an earlier run with other names.
        """
        hidden = name in self.preset.withheld or stage in self.preset.withheld_stages
        return hidden or self.held

    @property
    def held(self) -> bool:
        """Whether nothing of the photo but its status may be served: its gate is closed."""
        return self.moderation is not None and not self.moderation.released

    @property
    def subject(self) -> Subject:
        """Where the photo's subject is, by the uploader's word and by faces found earlier."""
        detect = self.stages.get(DETECT)
        found = detect.facts.get(FACES, ()) if detect else ()
        return Subject(focal_point=self.focal_point, faces=tuple(map(_box, found)))


def _box(face: Mapping[str, Any]) -> Box:
    left, top, width, height = face["box"]
    return left, top, width, height
