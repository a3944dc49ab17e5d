"""The status document: what the outside sees of a photo."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from photo_pipeline.domain.moderation import Moderation
from photo_pipeline.domain.photo import Photo, PhotoError, Rendition, StageError, StageSlot
from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.stage import ORIGINAL, PLACEHOLDER
from photo_pipeline.domain.status import EventType, PhotoStatus, StageStatus

VERSION: Final = "v"
"""Query parameter of a rendition's URL. It names the bytes, so that caches may keep them for good
although another run may put other bytes behind the same name."""

_VERSION_CHARACTERS: Final = 16  # 64 bits of a hash: only a photo's own few runs are told apart


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class StageDocument(_Document):
    """One stage: ``wait_ms`` until the start of the last attempt, ``work_ms`` from there on."""

    name: str
    status: StageStatus
    attempts: int
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    wait_ms: int | None
    work_ms: int | None
    worker: str | None
    error: StageError | None


class RenditionDocument(_Document):
    """A picture that can be fetched at ``url``; width and height in displayed pixels."""

    name: str
    stage: str
    width: int
    height: int
    format: str
    content_type: str
    bytes: int
    sha256: str
    url: str


class CertifiedDocument(RenditionDocument):
    """A picture, and what was found when it was opened again after writing."""

    receipt: Receipt | None = Field(description="None where an earlier version made it.")


class TimelineDocument(_Document):
    """One change: the n-th entry is the change to revision n."""

    revision: int
    at: datetime
    type: EventType
    stage: str | None = None
    attempt: int | None = None
    worker: str | None = None
    error: StageError | None = None
    by: str | None = Field(None, description="The person who decided.")
    reason: str | None = Field(None, description="That person's reason.")

    @model_serializer(mode="wrap")
    def _without_what_does_not_apply(
        self, serialize: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}


class LinksDocument(_Document):
    """Where to go from here; paths on the same host."""

    self: str
    stream: str
    duplicates: str
    original: str | None = Field(description="Null where the upload is not served.")


class StatusDocument(_Document):
    """Everything about one photo. Times are RFC 3339 in UTC, sizes are displayed pixels."""

    id: str
    status: PhotoStatus
    revision: int
    filename: str
    content_type: str
    bytes: int
    sha256: str
    width: int
    height: int
    preset: str
    preset_version: str = Field(description="The one of the preset that the photo began with.")
    focal_point: tuple[float, float] | None
    metadata: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    stages: list[StageDocument]
    renditions: list[CertifiedDocument]
    srcset: Mapping[str, str] = Field(description="Format to an HTML srcset attribute.")
    placeholder: str | None = Field(description="A tiny picture as data URI (RFC 2397).")
    detection: Mapping[str, Any] | None
    facts: Mapping[str, Mapping[str, Any]] = Field(
        description="Facts found by stages other than detect, by stage name."
    )
    moderation: Moderation | None = Field(description="Null where the preset has no gate.")
    timeline: list[TimelineDocument]
    error: PhotoError | None
    links: LinksDocument


def links(photo: Photo) -> LinksDocument:
    """Return the links of a photo."""
    return LinksDocument(
        self=f"/status/{photo.id}",
        stream=f"/ws/{photo.id}",
        duplicates=f"/photos/{photo.id}/duplicates",
        original=None if photo.withholds(ORIGINAL) else f"/photos/{photo.id}/{ORIGINAL}",
    )


def version(rendition: Rendition) -> str:
    """Return what tells this rendition's bytes from those of another run, in its URL."""
    return rendition.sha256[:_VERSION_CHARACTERS]


def rendition_documents(photo: Photo) -> list[RenditionDocument]:
    """Return what the outside sees of the renditions that are served.

    A URL always means the same bytes.
    """
    return [RenditionDocument(**_told(photo, r)) for r in _served(photo)]


def _served(photo: Photo) -> Iterator[Rendition]:
    return (r for r in photo.renditions if not photo.withholds(r.name, r.stage))


def _told(photo: Photo, rendition: Rendition) -> dict[str, Any]:
    url = f"/photos/{photo.id}/{rendition.name}?{VERSION}={version(rendition)}"
    return {**rendition.model_dump(exclude={"key", "receipt"}), "url": url}


def placeholder(photo: Photo) -> str | None:
    """Return the tiny picture that stands in for the photo while it loads, once there is one.

    None where it must not be served.
    """
    if photo.withholds(PLACEHOLDER):
        return None
    slots = (photo.stages[name] for name in photo.pipeline)
    return next((slot.facts[PLACEHOLDER] for slot in slots if PLACEHOLDER in slot.facts), None)


def status_document(photo: Photo) -> StatusDocument:
    """Return what the outside sees of *photo*."""
    renditions = [CertifiedDocument(**_told(photo, r), receipt=r.receipt) for r in _served(photo)]
    facts = {name: dict(photo.stages[name].facts) for name in photo.pipeline}
    for found in facts.values():
        found.pop(PLACEHOLDER, None)
    return StatusDocument(
        **photo.model_dump(
            include={
                *("id", "status", "revision", "filename", "content_type", "bytes", "sha256"),
                *("width", "height", "focal_point", "metadata", "moderation", "error"),
                *("created_at", "updated_at", "finished_at"),
            }
        ),
        preset=photo.preset.name,
        preset_version=photo.preset.version,
        stages=[_stage_document(name, photo.stages[name]) for name in photo.pipeline],
        renditions=renditions,
        srcset=_srcset(renditions, (photo.width, photo.height)),
        placeholder=placeholder(photo),
        detection=facts.pop("detect", None) or None,
        facts={name: found for name, found in facts.items() if found},
        timeline=[
            TimelineDocument(revision=revision, **entry.model_dump())
            for revision, entry in enumerate(photo.timeline, start=1)
        ],
        links=links(photo),
    )


def _stage_document(name: str, slot: StageSlot) -> StageDocument:
    return StageDocument(
        **slot.model_dump(exclude={"recipe", "renditions", "facts", "unended"}),
        name=name,
        wait_ms=_milliseconds(slot.queued_at, slot.started_at),
        work_ms=_milliseconds(slot.started_at, slot.finished_at),
    )


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    if start is None or end is None:
        return None
    return round((end - start).total_seconds() * 1000)


def _srcset(renditions: Sequence[RenditionDocument], photo: tuple[int, int]) -> dict[str, str]:
    """Offer each width once per format; the later stage wins, so a watermarked one is preferred.

    Only renditions that show the whole *photo* (width and height): a browser takes all
    candidates for the same picture and chooses by width alone.
    """
    chosen: dict[str, dict[int, str]] = {}
    for rendition in renditions:
        if _shows_all(rendition, photo):
            chosen.setdefault(rendition.format, {})[rendition.width] = rendition.url
    return {
        format_: ", ".join(f"{url} {width}w" for width, url in sorted(urls.items()))
        for format_, urls in chosen.items()
    }


def _shows_all(rendition: RenditionDocument, photo: tuple[int, int]) -> bool:
    """Say whether a rendition has the photo's aspect, but for the rounding of a side to pixels."""
    return abs(rendition.width * photo[1] - rendition.height * photo[0]) <= max(photo)
