"""What is asked of many photos at once: one suite over the fake and the real store."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from photo_pipeline.api.everything import LISTED
from photo_pipeline.domain import changes
from photo_pipeline.domain.photo import Photo, StageError, utc_now
from photo_pipeline.domain.rerun import rerun
from photo_pipeline.domain.status import PhotoStatus, StageStatus
from photo_pipeline.settings import Settings
from photo_pipeline.storage.mongo import Database, open_database
from photo_pipeline.storage.mongo_photos import MongoPhotos
from photo_pipeline.storage.photos import Photos, Selection, Standing
from support.pipeline import make_photo
from support.stores import KINDS, open_photos

PIPELINE = ("first", "second")
ERROR = StageError(code="c", message="m", retryable=False)
START = utc_now()
EVER = START + timedelta(days=1)


def _at(second: float) -> datetime:
    return START + timedelta(seconds=second)


@pytest.fixture(params=KINDS)
async def photos(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Photos]:
    async with open_photos(request.param, settings) as photos:
        yield photos


async def _insert(photos: Photos) -> Photo:
    photo = make_photo(PIPELINE, created_at=START, updated_at=START)
    await photos.insert(photo)
    return photo


def started(stage: str, second: float) -> changes.Change:
    return changes.stage_started(stage, attempt=1, worker="w", at=_at(second))


def done(stage: str, second: float) -> changes.Change:
    return changes.stage_done(
        stage,
        recipe="r",
        renditions=(),
        facts={"placeholder": "data:,"},
        next_stage="second" if stage == "first" else None,
        attempt=1,
        worker="w",
        at=_at(second),
    )


async def _bring(photos: Photos, *steps: changes.Change) -> Photo:
    photo = await _insert(photos)
    for step in steps:
        result = await photos.apply(photo.id, photo.run, step)
        assert result.applied
        photo = result.photo
    return photo


async def _one_of_each(photos: Photos) -> dict[str, Photo]:
    """Return photos that stand everywhere, oldest first."""
    told = {"error": ERROR, "attempt": 1, "worker": "w"}
    retrying = changes.stage_retrying("first", at=_at(2), **told)  # type: ignore[arg-type]
    failed = changes.stage_failed("second", at=_at(4), **told)  # type: ignore[arg-type]
    half = (started("first", 1), done("first", 2))
    whole = (*half, started("second", 3), done("second", 4), changes.photo_done(at=_at(5)))
    stone = await _insert(photos)
    return {
        "waiting": await _bring(photos),
        "running": await _bring(photos, started("first", 1)),
        "retrying": await _bring(photos, started("first", 1), retrying),
        "half": await _bring(photos, *half),
        "done": await _bring(photos, *whole),
        "failed": await _bring(
            photos,
            *(*half, started("second", 3), failed),
            changes.photo_failed(ERROR, "second", at=_at(5)),
        ),
        "deleted": (await photos.apply(stone.id, 1, changes.photo_deleted(stone, at=_at(6)))).photo,
    }


async def _page(photos: Photos, limit: int = 100, **selected: Any) -> list[str]:
    selection = Selection(**{"statuses": LISTED, **selected})
    return [photo.id for photo in await photos.page(selection, limit)]


async def test_pages_are_newest_first_and_join_without_gap_or_repeat(photos: Photos) -> None:
    ids = [(await _insert(photos)).id for _ in range(7)]
    assert await _page(photos) == ids[::-1]
    joined: list[str] = []
    while page := await _page(photos, 3, before=joined[-1] if joined else None):
        joined += page
        await _insert(photos)  # arrives meanwhile, and moves nothing
    assert joined == ids[::-1]
    assert await _page(photos, before=ids[0]) == []


async def test_a_page_holds_what_was_selected(photos: Photos) -> None:
    by_name = await _one_of_each(photos)

    async def names(**selected: Any) -> set[str]:
        ids = await _page(photos, **selected)
        return {name for name, photo in by_name.items() if photo.id in ids}

    assert await names() == set(by_name) - {"deleted"}
    assert await names(statuses=(PhotoStatus.DELETED,)) == {"deleted"}
    assert await names(statuses=(PhotoStatus.FAILED,)) == {"failed"}
    assert await names(statuses=(PhotoStatus.QUEUED,)) == {"waiting"}
    assert await names(stage="first") == {"waiting", "running", "retrying"}
    assert await names(stage="second") == {"half", "failed"}
    assert await names(stage="second", statuses=(PhotoStatus.FAILED,)) == {"failed"}
    assert await names(stage="second", before=by_name["half"].id) == set()
    assert await names(stage="third") == set()


async def test_standings_count_who_waits_where_and_since_when(photos: Photos) -> None:
    assert dict(await photos.standings()) == {}
    await _one_of_each(photos)
    await _bring(photos, started("first", 9))
    assert dict(await photos.standings()) == {
        ("first", StageStatus.PENDING): Standing(1, await _since(photos, "first")),
        ("first", StageStatus.RUNNING): Standing(2, _at(1)),
        ("first", StageStatus.RETRYING): Standing(1, _at(2)),
        ("second", StageStatus.PENDING): Standing(1, _at(2)),
    }


async def _since(photos: Photos, stage: str) -> datetime:
    page = await photos.page(Selection(statuses=(PhotoStatus.QUEUED,), stage=stage), 10)
    return min(photo.position.since for photo in page if photo.position)


async def test_what_has_changed_since_comes_in_the_order_of_the_changes(photos: Photos) -> None:
    late = await _bring(photos, started("first", 20))
    early = await _bring(photos, started("first", 10))
    await _bring(photos, started("first", 5))
    assert [p.id async for p in photos.changed_since(_at(10))] == [early.id, late.id]
    found = {id_: revision async for id_, revision in photos.revisions_since(_at(10))}
    assert found == {early.id: 2, late.id: 2}
    assert [p async for p in photos.changed_since(_at(21))] == []


async def test_a_run_and_an_erasure_are_owed_until_they_are_paid(photos: Photos) -> None:
    photo = (await _one_of_each(photos))["done"]

    async def owed() -> bool:
        return photo.id in [p.id async for p in photos.owed(before=EVER)]

    await photos.paid(photo.id, 1)
    assert not await owed()
    again = rerun(photo, preset=photo.preset, pipeline=PIPELINE, from_stage=None, at=_at(7))
    photo = (await photos.apply(photo.id, 1, again)).photo
    assert (photo.run, photo.stages["first"].facts) == (2, {"placeholder": "data:,"})
    assert photo == await photos.get(photo.id)
    assert await owed()
    assert photo.id not in [p.id async for p in photos.owed(before=_at(7))]
    await photos.paid(photo.id, 1)  # by whoever paid the run before, late
    assert await owed()
    await photos.paid(photo.id, 2)
    assert not await owed()
    stone = (await photos.apply(photo.id, 2, changes.photo_deleted(photo, at=_at(8)))).photo
    assert stone == await photos.get(photo.id)
    assert await owed()
    await photos.paid(photo.id, 2)
    assert await owed()
    await photos.paid(photo.id, stone.run)
    assert not await owed()


async def test_a_document_that_cannot_be_read_shortens_no_page(settings: Settings) -> None:
    async with open_database(settings.store.mongo_url) as database:
        store = MongoPhotos(database)
        ids = [(await _insert(store)).id for _ in range(6)]
        broken = {"_id": {"$in": [ids[1], ids[4], ids[5]]}}
        await database["photos"].update_many(broken, {"$set": {"width": "wide"}})
        assert await _page(store, 2) == [ids[3], ids[2]]
        assert await _page(store, 3) == [ids[3], ids[2], ids[0]]
        assert await _page(store, 4) == [ids[3], ids[2], ids[0]]
        assert await _page(store, 2, before=ids[3]) == [ids[2], ids[0]]


@pytest.fixture
async def profiled(settings: Settings) -> AsyncIterator[tuple[MongoPhotos, Database]]:
    """A store with many photos, and a database that notes how it answers."""
    async with open_database(settings.store.mongo_url) as database:
        store = MongoPhotos(database)
        await store.ensure_indexes()
        for _ in range(30):
            await _one_of_each(store)
        yield store, database


async def _plans(database: Database) -> list[dict[str, Any]]:
    await database.command("profile", 0)
    wanted = {"ns": f"{database.name}.photos"}
    found: list[dict[str, Any]] = await database["system.profile"].find(wanted).to_list(None)
    await database["system.profile"].drop()
    return found


async def test_every_query_goes_by_an_index(profiled: tuple[MongoPhotos, Database]) -> None:
    """As MongoDB itself tells of the queries that were really asked: none by a scan or a sort."""
    store, database = profiled
    newest = (await store.page(Selection(statuses=LISTED), 1))[0]

    async def page(**selected: Any) -> None:
        assert await store.page(Selection(**{"statuses": LISTED, **selected}), 5)

    async def owed() -> None:
        assert [p async for p in store.owed(before=EVER)]

    async def changed() -> None:
        assert [p async for p in store.changed_since(_at(4))]

    async def revisions() -> None:
        assert [p async for p in store.revisions_since(_at(4))]

    async def standings() -> None:
        assert await store.standings()

    async def begun() -> None:
        assert await store.begun("first")

    async def waiting() -> None:
        pending = [p async for p in store.waiting("first", StageStatus.PENDING, EVER)]
        assert pending == [], "all are owed their message"
        failed = StageStatus.FAILED
        assert [p async for p in store.waiting("second", failed, EVER)] == []

    one = (PhotoStatus.FAILED,)
    queries = {
        "page": (page(), 12),
        "page behind": (page(before=newest.id), 12),
        "page of a status": (page(statuses=one), 6),
        "page of a stage": (page(stage="first"), 12),
        "page of a stage and status": (page(stage="second", statuses=one), 6),
        "page of a stage behind": (page(stage="second", before=newest.id), 12),
        "owed": (owed(), 210),
        "changed": (changed(), 100),
        "revisions": (revisions(), 100),
        "standings": (standings(), 0),  # all from the index
        "begun": (begun(), 60),
        "review": (store.waiting_for_review(None, 5), 0),
        "waiting": (waiting(), 60),
    }
    for name, (query, most_documents) in queries.items():
        await database.command("profile", 2)
        await query
        plans = await _plans(database)
        assert plans, name
        for plan in plans:
            told = (name, plan["planSummary"], plan.get("docsExamined"), plan.get("keysExamined"))
            assert "COLLSCAN" not in plan["planSummary"], told
            assert "IXSCAN" in plan["planSummary"], told
            assert not plan.get("hasSortStage"), told
        assert sum(plan.get("docsExamined", 0) for plan in plans) <= most_documents, (name, plans)
