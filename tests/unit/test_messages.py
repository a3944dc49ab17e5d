"""What travels: messages, events, the status document."""

import json

import pytest

from photo_pipeline.domain import changes
from photo_pipeline.domain.document import status_document
from photo_pipeline.domain.messages import (
    OutcomeEvent,
    WorkMessage,
    first_message,
    outcome_event,
    status_events,
)
from photo_pipeline.domain.photo import Photo, Rendition, StageError, utc_now
from photo_pipeline.domain.status import (
    PHOTO_TRANSITIONS,
    STAGE_TRANSITIONS,
    TERMINAL,
    PhotoStatus,
    StageStatus,
)
from photo_pipeline.errors import MalformedMessageError
from support.pipeline import make_photo


def test_the_slip_leads_through_every_stage() -> None:
    photo = make_photo()
    message: WorkMessage | None = first_message(photo)
    visited = []
    while message is not None:
        visited.append(message.stage)
        message = WorkMessage.decode(message.encode()).forward()
    assert tuple(visited) == photo.pipeline


def test_a_message_refers_to_the_photo_and_is_small() -> None:
    photo = make_photo()
    body = first_message(photo).encode()
    assert json.loads(body) == {
        "v": 1,
        "photo_id": photo.id,
        "run": 1,
        "stage": "first",
        "remaining": ["second", "third"],
        "attempt": 1,
        "crashes": 0,
        "replays": 0,
        "original": photo.original,
        "preset": "default",
    }
    assert len(body) < 512


def test_a_newer_field_is_ignored_and_a_newer_version_refused() -> None:
    body = json.loads(first_message(make_photo()).encode())
    assert WorkMessage.decode(json.dumps({**body, "lane": "bulk"}).encode()).attempt == 1
    with pytest.raises(MalformedMessageError, match="v: "):
        WorkMessage.decode(json.dumps({**body, "v": 2}).encode())


def test_the_outcome_is_the_same_however_often_it_is_told() -> None:
    photo = _done()
    event = outcome_event(photo)
    assert event.encode() == outcome_event(photo).encode()
    assert OutcomeEvent.decode(event.encode()) == event
    assert event.event_id == f"{photo.id}:{photo.revision}"


def test_events_since_a_revision_are_those_after_it() -> None:
    photo = _done()
    assert [e.revision for e in status_events(photo)] == list(range(1, photo.revision + 1))
    assert [e.revision for e in status_events(photo, photo.revision - 1)] == [photo.revision]
    assert status_events(photo, photo.revision) == []


def _done() -> Photo:
    photo = make_photo(["first"])
    now = utc_now()
    entries = [
        changes.stage_started("first", attempt=1, worker="w", at=now).entry,
        changes.stage_done(
            "first",
            recipe="r",
            renditions=(),
            facts={},
            next_stage=None,
            attempt=1,
            worker="w",
            at=now,
        ).entry,
        changes.photo_done(at=now).entry,
    ]
    return photo.model_copy(
        update={
            "status": PhotoStatus.DONE,
            "revision": 4,
            "timeline": (*photo.timeline, *entries),
        }
    )


def test_the_status_document_has_the_promised_shape() -> None:
    photo = make_photo(["resize", "watermark", "detect"])
    document = json.loads(status_document(photo).model_dump_json())
    assert {
        *("id", "status", "revision", "filename", "content_type", "bytes", "sha256"),
        *("width", "height", "preset", "metadata", "created_at", "updated_at", "finished_at"),
        *("stages", "renditions", "srcset", "placeholder", "detection", "timeline"),
        *("error", "links"),
    } <= set(document)
    assert set(document["stages"][0]) == {
        *("name", "status", "attempts", "queued_at", "started_at", "finished_at"),
        *("wait_ms", "work_ms", "worker", "error"),
    }
    assert document["created_at"].endswith("Z")
    assert document["timeline"][0]["type"] == "photo.queued"


def test_srcset_offers_each_width_once_and_the_later_stage_wins() -> None:
    photo = make_photo(["resize", "watermark"])
    stages = dict(photo.stages)
    stages["resize"] = stages["resize"].model_copy(
        update={
            "renditions": (
                _rendition("1280", 1280),
                _rendition("320", 320),
                _rendition("tile", 300, 300),
            )
        }
    )
    stages["watermark"] = stages["watermark"].model_copy(
        update={"renditions": (_rendition("1280-watermarked", 1280),)}
    )
    photo = photo.model_copy(update={"stages": stages, "width": 4000, "height": 3001})
    document = status_document(photo)
    assert document.srcset == {
        "jpeg": (
            f"/photos/{photo.id}/320?v=0123456789abcdef 320w, "
            f"/photos/{photo.id}/1280-watermarked?v=0123456789abcdef 1280w"
        )
    }
    assert "key" not in document.renditions[0].model_dump()


def _rendition(name: str, width: int, height: int | None = None) -> Rendition:
    return Rendition(
        name=name,
        stage="resize",
        width=width,
        height=height or round(width * 3 / 4),
        format="jpeg",
        content_type="image/jpeg",
        bytes=1,
        sha256="0123456789abcdef" * 4,
        key="k",
    )


def test_terminal_statuses_lead_nowhere_but_to_another_run_and_deletion() -> None:
    for status in TERMINAL:
        assert PHOTO_TRANSITIONS[status] <= {PhotoStatus.QUEUED, PhotoStatus.DELETED}
    assert not PHOTO_TRANSITIONS[PhotoStatus.DELETED]
    assert set(PHOTO_TRANSITIONS) == set(PhotoStatus)
    assert set(STAGE_TRANSITIONS) == set(StageStatus)


def test_every_change_derives_its_filter_from_the_transitions() -> None:
    error = StageError(code="c", message="m", retryable=False)
    now = utc_now()
    started = changes.stage_started("first", attempt=1, worker="w", at=now)
    assert set(started.allowed_stage_statuses) == {
        StageStatus.PENDING,
        StageStatus.RUNNING,
        StageStatus.RETRYING,
    }
    assert set(started.allowed_photo_statuses) == {PhotoStatus.QUEUED, PhotoStatus.PROCESSING}
    failed = changes.photo_failed(error, "first", at=now)
    assert failed.allowed_photo_statuses == (PhotoStatus.PROCESSING,)
