"""One suite over the fake and the real store of status documents, so that the fake cannot lie."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from photo_pipeline.domain import changes
from photo_pipeline.domain.photo import Photo, Rendition, StageError, utc_now
from photo_pipeline.domain.status import EventType, PhotoStatus, StageStatus
from photo_pipeline.errors import StoreUnavailableError, UnknownPhotoError
from photo_pipeline.settings import Settings
from photo_pipeline.storage.mongo import check, open_database
from photo_pipeline.storage.mongo_photos import MongoPhotos
from photo_pipeline.storage.photos import Photos
from support.pipeline import make_photo
from support.stores import KINDS, open_photos

ERROR = StageError(code="c", message="m", retryable=True)


@pytest.fixture(params=KINDS)
async def photos(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Photos]:
    async with open_photos(request.param, settings) as photos:
        yield photos


@pytest.fixture
async def photo(photos: Photos) -> Photo:
    photo = make_photo(
        ["first", "second"], metadata={"a": {"b": [1, 2.5, None]}}, focal_point=(0.25, 1.0)
    )
    await photos.insert(photo)
    return photo


def _start() -> changes.Change:
    return changes.stage_started("first", attempt=1, worker="w", at=utc_now())


def _done(next_stage: str | None = "second") -> changes.Change:
    rendition = Rendition(
        name="one",
        stage="first",
        width=1,
        height=2,
        format="jpeg",
        content_type="image/jpeg",
        bytes=3,
        sha256="f",
        key="k",
    )
    return changes.stage_done(
        "first",
        recipe="r",
        renditions=[rendition],
        facts={"deep": {"list": [1, "two"]}},
        next_stage=next_stage,
        attempt=1,
        worker="w",
        at=utc_now(),
    )


async def test_what_is_kept_comes_back_equal(photos: Photos, photo: Photo) -> None:
    kept = photo.model_copy(update={"owed_since": photo.created_at})
    assert await photos.get(photo.id) == kept


async def test_what_is_kept_stays_as_it_is(photos: Photos, photo: Photo) -> None:
    changed = await photos.apply(photo.id, photo.run, _start())
    assert await photos.insert(photo) is False
    assert await photos.get(photo.id) == changed.photo
    assert await photos.insert(make_photo()) is True


async def test_an_unknown_photo_is_told(photos: Photos) -> None:
    with pytest.raises(UnknownPhotoError):
        await photos.get("nothing")
    with pytest.raises(UnknownPhotoError):
        await photos.apply("nothing", 1, _start())


async def test_a_change_raises_the_revision_and_tells_the_timeline(
    photos: Photos, photo: Photo
) -> None:
    started = await photos.apply(photo.id, 1, _start())
    assert started.applied
    assert started.photo == await photos.get(photo.id)
    assert (started.photo.revision, started.photo.status) == (2, PhotoStatus.PROCESSING)
    assert started.photo.stages["first"].status is StageStatus.RUNNING
    assert started.photo.stages["first"].attempts == 1
    assert [e.type for e in started.photo.timeline] == [
        EventType.PHOTO_QUEUED,
        EventType.STAGE_STARTED,
    ]


async def test_results_are_stored_with_the_change(photos: Photos, photo: Photo) -> None:
    await photos.apply(photo.id, 1, _start())
    done = (await photos.apply(photo.id, 1, _done())).photo
    assert done.rendition("one") is not None
    assert done.stages["first"].facts == {"deep": {"list": [1, "two"]}}
    assert done.stages["second"].queued_at == done.stages["first"].finished_at


async def test_an_illegal_change_changes_nothing_and_returns_what_stands(
    photos: Photos, photo: Photo
) -> None:
    before = await photos.get(photo.id)
    refused = await photos.apply(photo.id, 1, _done())  # never begun
    assert not refused.applied
    assert refused.photo == before == await photos.get(photo.id)


async def test_done_is_final(photos: Photos, photo: Photo) -> None:
    await photos.apply(photo.id, 1, _start())
    await photos.apply(photo.id, 1, _done())
    failed = changes.stage_failed("first", error=ERROR, attempt=1, worker="w", at=utc_now())
    for change in (_start(), _done(), failed):
        refused = await photos.apply(photo.id, 1, change)
        assert not refused.applied
        assert refused.photo.stages["first"].status is StageStatus.DONE


async def test_a_stage_in_work_may_be_begun_again(photos: Photos, photo: Photo) -> None:
    retrying = changes.stage_retrying("first", error=ERROR, attempt=1, worker="w", at=utc_now())
    for change in (_start(), _start(), retrying, _start()):
        assert (await photos.apply(photo.id, 1, change)).applied
    now = await photos.get(photo.id)
    assert now.stages["first"].attempts == 3
    assert now.stages["first"].error is None


async def test_a_change_of_another_run_or_unknown_stage_is_refused(
    photos: Photos, photo: Photo
) -> None:
    assert not (await photos.apply(photo.id, 2, _start())).applied
    other = changes.stage_started("third", attempt=1, worker="w", at=utc_now())
    assert not (await photos.apply(photo.id, 1, other)).applied


async def test_a_photo_ends_once(photos: Photos, photo: Photo) -> None:
    await photos.apply(photo.id, 1, _start())
    assert (await photos.apply(photo.id, 1, changes.photo_done(at=utc_now()))).applied
    failed = changes.photo_failed(ERROR, "first", at=utc_now())
    refused = await photos.apply(photo.id, 1, failed)
    assert not refused.applied
    assert refused.photo.status is PhotoStatus.DONE
    assert refused.photo.finished_at is not None


async def test_of_many_at_once_one_ends_the_stage_and_revisions_have_no_gap(
    photos: Photos, photo: Photo
) -> None:
    started = await asyncio.gather(*(photos.apply(photo.id, 1, _start()) for _ in range(20)))
    assert sorted(a.photo.revision for a in started) == list(range(2, 22))
    ended = await asyncio.gather(*(photos.apply(photo.id, 1, _done()) for _ in range(20)))
    assert sum(a.applied for a in ended) == 1
    final = await photos.get(photo.id)
    assert final.revision == len(final.timeline) == 22


async def test_a_debt_is_owed_until_it_is_paid(photos: Photos, photo: Photo) -> None:
    later = photo.created_at + timedelta(seconds=1)
    assert [p.id async for p in photos.owed(before=later)] == [photo.id]
    assert [p.id async for p in photos.owed(before=photo.created_at)] == []
    await photos.paid(photo.id, run=2)
    assert [p.id async for p in photos.owed(before=later)] == [photo.id]
    await photos.paid(photo.id, run=1)
    assert [p.id async for p in photos.owed(before=later)] == []
    assert (await photos.get(photo.id)).revision == 1


async def _found(photos: Photos, status: StageStatus, *, seconds: float = 1) -> list[str]:
    before = utc_now() + timedelta(seconds=seconds)
    return [p.id async for p in photos.waiting("first", status, before)]


async def test_who_waits_is_found_once_nothing_is_owed_to_it(photos: Photos, photo: Photo) -> None:
    pending, running = StageStatus.PENDING, StageStatus.RUNNING
    assert await _found(photos, pending) == []
    assert not await photos.owe(photo, at=utc_now()), "it is owed already"
    await photos.paid(photo.id, run=1)
    assert await _found(photos, pending) == [photo.id]
    assert await _found(photos, pending, seconds=-1) == []
    assert await _found(photos, running) == []
    await photos.apply(photo.id, 1, _start())
    assert await _found(photos, pending) == []
    assert await _found(photos, running) == [photo.id]


async def test_who_waits_may_be_owed_again_once_and_as_long_as_nothing_changes(
    photos: Photos, photo: Photo
) -> None:
    await photos.paid(photo.id, run=1)
    later = utc_now() + timedelta(minutes=1)
    owed = await asyncio.gather(*(photos.owe(photo, at=later) for _ in range(5)))
    assert sorted(owed) == [False] * 4 + [True]
    assert [p.id async for p in photos.owed(before=later + timedelta(seconds=1))] == [photo.id]
    after = await photos.get(photo.id)
    assert after.position is not None
    assert (after.position.since, after.revision) == (later, photo.revision)
    await photos.paid(photo.id, run=1)
    await photos.apply(photo.id, 1, _start())
    assert not await photos.owe(photo, at=later), "it has moved on"


async def test_the_moment_it_was_queued_is_that_of_its_message_as_long_as_it_waits(
    photos: Photos, photo: Photo
) -> None:
    later = utc_now() + timedelta(minutes=1)
    await photos.queued_again(photo.id, run=2, at=later)
    assert (await photos.get(photo.id)).position == photo.position
    await photos.queued_again(photo.id, run=1, at=later)
    position = (await photos.get(photo.id)).position
    assert position is not None
    assert (position.status, position.since) == (StageStatus.PENDING, later)
    begun = (await photos.apply(photo.id, 1, _start())).photo.position
    await photos.queued_again(photo.id, run=1, at=later)
    assert (await photos.get(photo.id)).position == begun


async def test_what_was_begun_tells_how_far_its_queue_is(photos: Photos, photo: Photo) -> None:
    assert await photos.begun("first") == []
    await photos.apply(photo.id, 1, _start())
    assert await photos.begun("first") == [photo.created_at]
    assert await photos.begun("second") == []
    await photos.apply(photo.id, 1, _done())
    assert await photos.begun("first") == []


async def test_a_photo_with_everything_done_but_its_end_is_found(photos: Photos) -> None:
    photo = make_photo(["first"])
    await photos.insert(photo)
    await photos.paid(photo.id, run=1)
    await photos.apply(photo.id, 1, _start())
    await photos.apply(photo.id, 1, _done(next_stage=None))
    assert await _found(photos, StageStatus.DONE) == [photo.id]
    await photos.apply(photo.id, 1, changes.photo_done(at=utc_now()))
    assert await _found(photos, StageStatus.DONE) == []


async def test_a_document_that_cannot_be_read_holds_up_no_other(settings: Settings) -> None:
    async with open_database(settings.store.mongo_url) as database:
        store = MongoPhotos(database)
        photos = [make_photo(["first"]) for _ in range(3)]
        for photo in photos:
            await store.insert(photo)
        await database["photos"].update_one({"_id": photos[0].id}, {"$set": {"width": "wide"}})
        later = utc_now() + timedelta(seconds=1)
        assert {p.id async for p in store.owed(before=later)} == {p.id for p in photos[1:]}


async def test_what_has_changed_since_is_found_in_the_order_of_it(photos: Photos) -> None:
    now = utc_now()
    ids = []
    for age_s in (1, 3, 2):
        at = now - timedelta(seconds=age_s)
        photo = make_photo(["first", "second"], created_at=at, updated_at=at)
        await photos.insert(photo)
        ids.append(photo.id)
    since = now - timedelta(seconds=2)
    assert [photo.id async for photo in photos.changed_since(since)] == [ids[2], ids[0]]
    await photos.apply(ids[1], 1, _start())
    assert [photo.id async for photo in photos.changed_since(since)] == [ids[2], ids[0], ids[1]]
    found = {photo_id: revision async for photo_id, revision in photos.revisions_since(since)}
    assert found == {ids[0]: 1, ids[1]: 2, ids[2]: 1}
    later = now + timedelta(minutes=1)
    assert [found async for found in photos.revisions_since(later)] == []


async def test_a_removed_photo_is_forgotten(photos: Photos, photo: Photo) -> None:
    assert await photos.remove(photo.id)
    assert not await photos.remove(photo.id)
    with pytest.raises(UnknownPhotoError):
        await photos.get(photo.id)


async def test_a_server_that_is_away_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photo_pipeline.storage.mongo.TIMEOUT_MS", 200)
    async with open_database("mongodb://127.0.0.1:1/none") as database:
        with pytest.raises(StoreUnavailableError):
            await check(database)
        with pytest.raises(StoreUnavailableError) as told:
            await MongoPhotos(database).insert(make_photo())
        assert not told.value.in_doubt, "nobody was there to do it"
