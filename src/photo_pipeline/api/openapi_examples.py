"""The example that runs through the OpenAPI document: one photo, told by the real code."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from photo_pipeline.api.duplicates import Duplicates, NearDuplicate
from photo_pipeline.api.openapi_detection import DETECTION
from photo_pipeline.api.photos import PhotoPage
from photo_pipeline.api.presets import PresetDocument, PresetsDocument
from photo_pipeline.api.queues import Queues, StageQueue, SubscriberQueue
from photo_pipeline.api.removal import Deleted
from photo_pipeline.api.review import ReviewItem, ReviewPage
from photo_pipeline.api.uploads import Accepted
from photo_pipeline.domain.document import links, status_document
from photo_pipeline.domain.messages import StatusEvent, status_event, status_events
from photo_pipeline.domain.moderation import Gate, Moderation, Verdict
from photo_pipeline.domain.photo import Photo, Rendition, StageError, StageSlot, TimelineEntry
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.status import EventType, PhotoStatus, StageStatus
from photo_pipeline.domain.summary import summary
from photo_pipeline.errors import StageTimeoutError

PHOTO_ID: Final = "0199f3d4-6c1e-7c52-9a53-0c4b8f6d2e71"
FILENAME: Final = "harbour.jpg"
SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_START: Final = datetime(2025, 6, 1, 9, 30, tzinfo=UTC)
_STEP_MS: Final = 140
_WORKER: Final = "worker-a-17"


def _at(step: int) -> datetime:
    return _START + timedelta(milliseconds=step * _STEP_MS)


def _rendition(name: str, stage: str, width: int, height: int, size: int) -> Rendition:
    return Rendition(
        name=name,
        stage=stage,
        width=width,
        height=height,
        format="jpeg",
        content_type="image/jpeg",
        bytes=size,
        sha256=SHA256,
        key=f"renditions/71/{PHOTO_ID}/{name}.jpg",
    )


_RESULTS: Final[dict[str, tuple[tuple[Rendition, ...], dict[str, Any]]]] = {
    "resize": (
        (
            _rendition("1280", "resize", 1280, 853, 214_310),
            _rendition("640", "resize", 640, 427, 61_044),
        ),
        {"placeholder": "data:image/webp;base64,UklGRiQAAABXRUJQ"},
    ),
    "watermark": ((_rendition("1280-watermarked", "watermark", 1280, 853, 217_902),), {}),
    "detect": ((), DETECTION),
}


def _slot(stage: str, step: int) -> StageSlot:
    renditions, facts = _RESULTS[stage]
    return StageSlot(
        status=StageStatus.DONE,
        attempts=1,
        queued_at=_at(step - 1),
        started_at=_at(step),
        finished_at=_at(step + 1),
        worker=_WORKER,
        renditions=renditions,
        facts=facts,
    )


def _timeline() -> tuple[TimelineEntry, ...]:
    types = (EventType.STAGE_STARTED, EventType.STAGE_DONE)
    stages = [(stage, type_) for stage in _RESULTS for type_ in types]
    return (
        TimelineEntry(at=_at(0), type=EventType.PHOTO_QUEUED),
        *(
            TimelineEntry(at=_at(step), type=type_, stage=stage, attempt=1, worker=_WORKER)
            for step, (stage, type_) in enumerate(stages, start=1)
        ),
        TimelineEntry(at=_at(len(stages) + 1), type=EventType.PHOTO_DONE),
    )


_PHOTO: Final = Photo(
    id=PHOTO_ID,
    status=PhotoStatus.DONE,
    revision=len(_timeline()),
    filename=FILENAME,
    format="jpeg",
    content_type="image/jpeg",
    bytes=4_184_092,
    sha256=SHA256,
    width=6000,
    height=4000,
    preset=Preset(name="default", stages={}),
    pipeline=tuple(_RESULTS),
    focal_point=(0.5, 0.4),
    metadata={"album": "Iceland"},
    original=f"originals/71/{PHOTO_ID}/{FILENAME}",
    traceparent="",
    created_at=_at(0),
    updated_at=_timeline()[-1].at,
    finished_at=_timeline()[-1].at,
    stages={stage: _slot(stage, 2 * n + 1) for n, stage in enumerate(_RESULTS)},
    timeline=_timeline(),
)

REVISION: Final = _PHOTO.revision
DOCUMENT: Final = status_document(_PHOTO).model_dump(mode="json")
PAGE: Final = PhotoPage(items=[summary(_PHOTO)], next_cursor=PHOTO_ID).model_dump(mode="json")
DELETED: Final = Deleted(id=PHOTO_ID, status=PhotoStatus.DELETED).model_dump(mode="json")
ACCEPTED: Final = Accepted(
    id=PHOTO_ID, status=PhotoStatus.QUEUED, filename=FILENAME, links=links(_PHOTO)
).model_dump(mode="json")


def _retrying() -> StatusEvent:
    error = StageError(code=StageTimeoutError.code, message="no result within 60 s", retryable=True)
    entry = TimelineEntry(
        at=_at(2),
        type=EventType.STAGE_RETRYING,
        stage="resize",
        attempt=1,
        worker=_WORKER,
        error=error,
    )
    return status_event(PHOTO_ID, 3, entry)


FRAMES: Final = "\n".join(
    (
        f'{{"type":"snapshot","photo_id":"{PHOTO_ID}","revision":1,"photo":{{…}}}}',
        status_events(_PHOTO)[1].encode().decode(),
        _retrying().encode().decode(),
        "…",
        status_events(_PHOTO)[-1].encode().decode(),
    )
)
"""Frames of a stream, one a line; … where more would come."""

FRAMES_OF_ALL: Final = "\n".join(
    (
        f'{{"type":"snapshot","at":"{_at(0).isoformat()}","photos":[{{…}},…]}}',
        *(event.encode().decode() for event in status_events(_PHOTO)[:2]),
        "…",
    )
)
SERVER_SENT: Final = "".join(
    f"id: {event.revision}\ndata: {event.encode().decode()}\nretry: 1000\n\n"
    for event in status_events(_PHOTO)[:2]
)
QUEUES_SEEN: Final = Queues(
    stages=[
        StageQueue(
            stage=stage,
            queue=stage,
            ready=ready,
            running=2,
            retrying=0,
            dead=0,
            consumers=2,
            rate=1.85,
            oldest_s=ready * 0.5 or None,
        )
        for stage, ready in zip(_RESULTS, (14, 0, 3), strict=True)
    ],
    subscribers=[
        SubscriberQueue(
            subscriber="monitor", queue="processed_images.monitor", ready=0, dead=0, consumers=1
        )
    ],
).model_dump(mode="json")

_OTHER: Final = "01890a5d-ac96-774b-bcce-b302099a8057"
DUPLICATES_FOUND: Final = Duplicates(
    id=PHOTO_ID,
    exact=[],
    near=[
        NearDuplicate(
            id=_OTHER,
            filename="harbour-small.webp",
            created_at=_at(0),
            links=links(_PHOTO.model_copy(update={"id": _OTHER})),
            distance=1,
        )
    ],
).model_dump(mode="json")

_DOUBTED: Final = Moderation(
    gate=Gate.HOLD,
    verdict=Verdict.REVIEW,
    score=0.4137,
    band="review",
    reason="detection doubts it",
    at=_at(6),
)
WAITING_FOR_REVIEW: Final = ReviewPage(
    items=[
        ReviewItem(
            id=PHOTO_ID,
            filename=FILENAME,
            preset="gallery",
            revision=REVISION,
            moderation=_DOUBTED,
            pictures={name: f"/review/{PHOTO_ID}/{name}" for name in ("original", "1280")},
        )
    ],
    next_cursor=None,
).model_dump(mode="json")

PRESETS_OFFERED: Final = PresetsDocument(
    presets=[
        PresetDocument(
            name="default",
            version="3b1c0f6f2a9d",
            description="Four sizes for pages, the two large ones also with a watermark.",
            default=True,
            stages={"detect": {"rendition": "1280", "colours": 5}},
            gate=Gate.OFF,
            withheld=(),
        )
    ]
).model_dump(mode="json")
