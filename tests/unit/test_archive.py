"""The archive subscriber over fakes."""

import json
from contextlib import suppress
from pathlib import PurePosixPath

import pytest
import structlog
from prometheus_client import generate_latest

from photo_pipeline.domain.changes import photo_failed
from photo_pipeline.domain.messages import outcome_event
from photo_pipeline.domain.moderation import Gate, Moderation, Verdict
from photo_pipeline.domain.photo import PhotoError, StageError, utc_now
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import (
    ArchiveCorruptError,
    BlobUnavailableError,
    MissingBlobError,
    UnknownPhotoError,
)
from photo_pipeline.metrics import Metrics
from photo_pipeline.settings import read_settings
from photo_pipeline.subscribers import Tools, load
from support.archived import ORIGINAL, RENDITIONS, Service, folder
from support.fakes import Cut, FakeBlobs, FakeDeliveries, FakePhotos, FakeUpload, Scissors


@pytest.fixture
def archive() -> FakeBlobs:
    return FakeBlobs()


@pytest.fixture
def blobs() -> FakeBlobs:
    return FakeBlobs()


@pytest.fixture
def service(archive: FakeBlobs, blobs: FakeBlobs) -> Service:
    return Service(archive=archive, blobs=blobs)


async def test_an_outcome_becomes_an_entry(service: Service, archive: FakeBlobs) -> None:
    photo, event = await service.finish()
    await service.subscriber()(event)
    document = archive.data.pop(f"{folder(photo)}/outcome-0002/status.json")
    assert json.loads(document) == json.loads(event.photo.model_dump_json())
    assert archive.data == {
        f"{folder(photo)}/original/photo.jpg": ORIGINAL,
        f"{folder(photo)}/outcome-0002/renditions/640.jpg": RENDITIONS["640"],
        f"{folder(photo)}/outcome-0002/renditions/320.jpg": RENDITIONS["320"],
    }


async def test_what_is_copied_is_counted_once(service: Service) -> None:
    _, event = await service.finish()
    await service.subscriber()(event)
    await service.subscriber()(event)
    told = generate_latest(service.metrics.registry).decode()
    assert 'photo_archived_files_total{kind="original"} 1.0' in told
    assert 'photo_archived_files_total{kind="rendition"} 2.0' in told
    assert 'photo_archived_files_total{kind="status"} 1.0' in told
    assert f'photo_archived_bytes_total{{kind="original"}} {len(ORIGINAL)}.0' in told


async def test_a_failed_photo_is_archived_with_what_it_has(
    service: Service, archive: FakeBlobs
) -> None:
    failure = photo_failed(
        StageError(code="unreadable_image", message="no", retryable=False), "first", at=utc_now()
    )
    photo, _ = await service.finish(renditions={"640": b"medium"})
    failed = photo.model_copy(
        update={
            "status": PhotoStatus.FAILED,
            "error": PhotoError(**failure.sets["error"]),
            "timeline": (*photo.timeline[:-1], failure.entry),
        }
    )
    await service.photos.become(failed)
    await service.subscriber()(outcome_event(failed))
    entry = f"{folder(photo)}/outcome-0002"
    assert set(archive.data) == {
        f"{folder(photo)}/original/photo.jpg",
        f"{entry}/renditions/640.jpg",
        f"{entry}/status.json",
    }
    document = json.loads(archive.data[f"{entry}/status.json"])
    assert (document["status"], document["error"]["code"]) == ("failed", "unreadable_image")


async def test_a_later_outcome_stands_beside_the_earlier_one(
    service: Service, archive: FakeBlobs
) -> None:
    photo, first = await service.finish()
    await service.subscriber()(first)
    earlier = dict(archive.data)
    _, second = await service.finish(photo, renditions={"640": b"made anew"})
    await service.subscriber()(second)
    assert earlier.items() <= archive.data.items()
    assert set(archive.data) - set(earlier) == {
        f"{folder(photo)}/outcome-0003/renditions/640.jpg",
        f"{folder(photo)}/outcome-0003/status.json",
    }


async def test_a_late_earlier_event_spoils_nothing(service: Service, archive: FakeBlobs) -> None:
    photo, first = await service.finish()
    _, second = await service.finish(photo, renditions={"640": b"made anew"})
    await service.subscriber()(second)
    before = dict(archive.data)
    with structlog.testing.capture_logs() as lines:
        await service.subscriber()(first)
    assert archive.data == before
    assert [(line["event"], line.get("reason")) for line in lines] == [
        ("archive.skipped", "reprocessed")
    ]


async def test_a_late_event_is_archived_while_its_renditions_exist(
    service: Service, archive: FakeBlobs
) -> None:
    photo, first = await service.finish()
    await service.finish(photo, renditions={**RENDITIONS, "160": b"tiny"})
    await service.subscriber()(first)
    assert f"{folder(photo)}/outcome-0002/status.json" in archive.data
    assert f"{folder(photo)}/outcome-0002/renditions/160.jpg" not in archive.data


async def test_what_is_not_served_is_archived_all_the_same(
    service: Service, archive: FakeBlobs
) -> None:
    preset = Preset(name="proof", stages={"first": {}}, withheld=("original", "640"))
    photo, event = await service.finish(preset=preset)
    assert [rendition.name for rendition in event.photo.renditions] == ["320"]
    await service.subscriber()(event)
    entry = f"{folder(photo)}/outcome-0002"
    document = json.loads(archive.data.pop(f"{entry}/status.json"))
    assert [rendition["name"] for rendition in document["renditions"]] == ["320"]
    assert archive.data == {
        f"{folder(photo)}/original/photo.jpg": ORIGINAL,
        f"{entry}/renditions/640.jpg": RENDITIONS["640"],
        f"{entry}/renditions/320.jpg": RENDITIONS["320"],
    }


@pytest.mark.parametrize(
    ("verdict", "status", "kept"),
    [
        (Verdict.PASSED, PhotoStatus.DONE, True),
        (Verdict.APPROVED, PhotoStatus.DONE, True),
        (Verdict.REVIEW, PhotoStatus.DONE, False),
        (Verdict.REJECTED, PhotoStatus.DONE, False),
        (Verdict.PENDING, PhotoStatus.FAILED, True),  # no later event would tell of it
    ],
)
async def test_a_held_photo_is_copied_once_it_is_released(
    service: Service, archive: FakeBlobs, verdict: Verdict, status: PhotoStatus, *, kept: bool
) -> None:
    photo, _ = await service.finish()
    moderation = Moderation(gate=Gate.HOLD, verdict=verdict)
    photo = photo.model_copy(update={"moderation": moderation, "status": status})
    await service.photos.become(photo)
    await service.subscriber()(outcome_event(photo))
    assert bool(archive.data) is kept
    assert (f"{folder(photo)}/outcome-0002/renditions/640.jpg" in archive.data) is kept


async def test_a_deleted_photo_is_not_copied(service: Service, archive: FakeBlobs) -> None:
    photo, event = await service.finish()
    await service.photos.become(photo.model_copy(update={"status": PhotoStatus.DELETED}))
    with structlog.testing.capture_logs() as lines:
        await service.subscriber()(event)
    assert archive.data == {}
    assert [(line["event"], line["reason"]) for line in lines] == [("archive.skipped", "deleted")]


async def test_a_photo_deleted_during_the_copy_is_no_failure(
    service: Service, archive: FakeBlobs, blobs: FakeBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, event = await service.finish()
    kept = FakeUpload.commit

    async def commit_and_delete(self: FakeUpload, key: str) -> None:
        await kept(self, key)
        blobs.data.clear()
        await service.photos.become(photo.model_copy(update={"status": PhotoStatus.DELETED}))

    monkeypatch.setattr(FakeUpload, "commit", commit_and_delete)
    await service.subscriber()(event)
    assert [key for key in archive.data if key.endswith("status.json")] == []


async def test_an_unknown_photo_is_told(service: Service) -> None:
    _, event = await Service().finish()
    with pytest.raises(UnknownPhotoError):
        await service.subscriber()(event)


async def test_missing_bytes_are_told(
    service: Service, archive: FakeBlobs, blobs: FakeBlobs
) -> None:
    photo, event = await service.finish()
    await blobs.delete(photo.original)
    with pytest.raises(MissingBlobError):
        await service.subscriber()(event)
    assert archive.data == {}


def _is(which: str, key: str) -> bool:
    """Say whether *key* is the original, or the rendition of that name; ids have digits too."""
    path = PurePosixPath(key)
    return which in (path.stem, *(part.removesuffix("s") for part in path.parts[:-1]))


@pytest.mark.parametrize("spoil", [lambda b: b[:-1], lambda b: b + b"!", lambda b: b[::-1]])
@pytest.mark.parametrize("which", ["original", "320"])
async def test_spoilt_bytes_are_never_archived(
    service: Service, archive: FakeBlobs, blobs: FakeBlobs, which: str, spoil: object
) -> None:
    assert callable(spoil)
    _, event = await service.finish()
    (key,) = (k for k in blobs.data if _is(which, k))
    blobs.data[key] = spoil(blobs.data[key])
    with pytest.raises(ArchiveCorruptError):
        await service.subscriber()(event)
    assert not [k for k in archive.data if _is(which, k) or k.endswith("status.json")]


async def test_an_event_that_contradicts_the_store_is_refused(
    service: Service, archive: FakeBlobs
) -> None:
    photo, _ = await service.finish()
    _, other = await Service().finish(photo, renditions={"640": b"of nobody"})
    event = other.model_copy(update={"revision": photo.revision})
    with pytest.raises(ArchiveCorruptError):
        await service.subscriber()(event)
    assert not [k for k in archive.data if k.endswith("status.json")]


async def test_an_archive_that_forgets_what_it_took_is_tried_again(
    service: Service, archive: FakeBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, event = await service.finish()
    kept = FakeUpload.commit

    async def spoil(self: FakeUpload, key: str) -> None:
        await kept(self, key)
        archive.data[key] = b"something else"

    with monkeypatch.context() as patch:
        patch.setattr(FakeUpload, "commit", spoil)
        with pytest.raises(BlobUnavailableError, match=r"archiving .*photo\.jpg"):
            await service.subscriber()(event)
        assert archive.data == {}
    await service.subscriber()(event)
    assert len(archive.data) == 4


async def test_what_rots_in_the_archive_is_mended_by_a_repeat(
    service: Service, archive: FakeBlobs
) -> None:
    _, event = await service.finish()
    await service.subscriber()(event)
    good = dict(archive.data)
    for key in good:
        archive.data[key] = b"rotten"
    await service.subscriber()(event)
    assert archive.data == good


@pytest.mark.parametrize("after", [False, True])
async def test_a_death_at_any_point_leaves_no_false_entry_and_a_repeat_completes_it(
    *, after: bool
) -> None:
    undisturbed = Scissors()
    await _archived_under(undisturbed)
    assert undisturbed.count > 10
    for at in range(1, undisturbed.count + 1):
        await _archived_under(Scissors(at, after=after))


async def _archived_under(scissors: Scissors) -> None:
    archive = FakeBlobs(scissors)
    service = Service(archive=archive)
    _, event = await service.finish()
    with suppress(Cut):
        await service.subscriber()(event)
    complete = any(key.endswith("status.json") for key in archive.data)
    assert not complete or len(archive.data) == 4
    service.archive = again = FakeBlobs()
    again.data = archive.data
    await service.subscriber()(event)
    assert {ORIGINAL, *RENDITIONS.values()} < set(archive.data.values())
    assert len(archive.data) == 4


async def test_without_a_url_it_says_once_that_it_is_off() -> None:
    _, event = await Service().finish()
    tools = Tools(
        settings=read_settings({}),
        photos=FakePhotos(),
        blobs=FakeBlobs(),
        deliveries=FakeDeliveries(),
        metrics=Metrics(),
    )
    with structlog.testing.capture_logs() as lines:
        async with load("archive")(tools) as handle:
            await handle(event)
            await handle(event)
    told = [line for line in lines if line["log_level"] != "debug"]
    assert [line["event"] for line in told] == ["archive.off"]
    assert "PHOTO_ARCHIVE_URL" in told[0]["reason"]
