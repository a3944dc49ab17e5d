"""One suite over the fake and the real store of case files, so that the fake cannot lie."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from photo_pipeline.domain.casefile import CaseEntry, CaseFile, CaseState
from photo_pipeline.domain.photo import utc_now
from photo_pipeline.errors import StoreUnavailableError, UnknownDeadLetterError
from photo_pipeline.settings import Settings
from photo_pipeline.storage.dead_letters import (
    KEPT,
    CaseCursor,
    CaseSelection,
    DeadLetters,
    MongoDeadLetters,
)
from photo_pipeline.storage.mongo import open_database
from support.casefiles import FakeDeadLetters, died, make_case
from support.pipeline import make_photo

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ALL = CaseSelection()
OPEN = CaseSelection(state=CaseState.OPEN)


@pytest.fixture(params=["fake", "mongo"])
async def store(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[DeadLetters]:
    if request.param == "fake":
        yield FakeDeadLetters()
        return
    async with open_database(settings.store.mongo_url) as database:
        real = MongoDeadLetters(database)
        await real.ensure_indexes()
        await real.ensure_indexes()
        yield real


def _case(number: int, *, stage: str = "first", code: str = "unexpected_error") -> CaseFile:
    # Two at a time are filed in the same millisecond.
    at = BEGIN + timedelta(milliseconds=number // 2)
    return make_case(make_photo(), stage=stage, headers=died(code), at=at)


async def _filed(store: DeadLetters, *cases: CaseFile) -> list[CaseFile]:
    for case in cases:
        assert await store.file(case)
    return sorted(cases, key=lambda case: (case.filed_at, case.id), reverse=True)


async def test_a_case_comes_back_as_it_was_filed(store: DeadLetters) -> None:
    odd = {"x.y": 1, "$set": {"a": [None, 2**70]}, "x-death": [{"time": BEGIN, "count": 1}]}
    case = make_case(stage="first", body=b"\xff\x00", headers=odd, message_id=None)
    await _filed(store, case)
    assert await store.get(case.id) == case
    assert case.message.headers["$set"] == {"a": [None, 2**70]}
    with pytest.raises(UnknownDeadLetterError):
        await store.get("nothing")


async def test_filing_again_changes_nothing(store: DeadLetters) -> None:
    case = _case(1)
    filed = await asyncio.gather(*(store.file(case) for _ in range(10)))
    assert sorted(filed) == [*[False] * 9, True]
    closed = await store.close(case.id, CaseEntry(at=utc_now(), action=CaseState.REPLAYED, run=2))
    assert not await store.file(case.model_copy(update={"attempts": 9}))
    assert await store.get(case.id) == closed


async def test_pages_go_through_all_without_gap_or_repeat(store: DeadLetters) -> None:
    cases = await _filed(store, *(_case(number) for number in range(9)))
    found: list[CaseFile] = []
    before: CaseCursor | None = None
    while page := await store.page(CaseSelection(before=before), 2):
        found += page
        before = CaseCursor(page[-1].filed_at, page[-1].id)
    assert found == cases
    assert [case async for case in store.oldest(ALL)] == cases[::-1]


async def test_a_selection_is_by_state_stage_and_fingerprint(store: DeadLetters) -> None:
    one, two = _case(1), _case(2, stage="second")
    other = _case(3, code="bad")
    await _filed(store, one, two, other)
    await store.close(two.id, CaseEntry(at=utc_now(), action=CaseState.DISCARDED))
    for selection, expected in (
        (OPEN, [other, one]),
        (CaseSelection(stage="first"), [other, one]),
        (CaseSelection(stage="first", fingerprint=one.fingerprint), [one]),
        (CaseSelection(state=CaseState.DISCARDED, stage="first"), []),
        (CaseSelection(state=CaseState.REPLAYED), []),
    ):
        assert [case.id for case in await store.page(selection, 9)] == [c.id for c in expected]
        assert {case.id async for case in store.oldest(selection)} == {c.id for c in expected}


async def test_like_cases_form_a_group_with_the_latest_as_example(store: DeadLetters) -> None:
    alike = [_case(number) for number in (0, 2, 4)]
    other = _case(6, code="bad")
    newest = (await _filed(store, *alike, other))[1]
    first, second = await store.groups(ALL)
    assert (first.count, second.count) == (3, 1)
    assert (first.fingerprint, first.latest) == (newest.fingerprint, newest)
    assert (first.first_died_at, first.last_died_at) == (alike[0].died_at, alike[2].died_at)
    assert second.latest == other
    for case in alike:
        await store.close(case.id, CaseEntry(at=utc_now(), action=CaseState.DISCARDED))
    assert [group.fingerprint for group in await store.groups(OPEN)] == [other.fingerprint]


async def test_a_case_is_closed_once(store: DeadLetters) -> None:
    (case,) = await _filed(store, _case(1))
    entries = [CaseEntry(at=utc_now(), action=CaseState.REPLAYED, run=run) for run in (2, 3)]
    first, second = [await store.close(case.id, entry) for entry in entries]
    assert first == second == await store.get(case.id)
    assert (first.state, first.history) == (CaseState.REPLAYED, (entries[0],))
    with pytest.raises(UnknownDeadLetterError):
        await store.close("nothing", entries[0])


async def test_closed_cases_are_forgotten_by_the_server_and_open_ones_kept(
    settings: Settings,
) -> None:
    async with open_database(settings.store.mongo_url) as database:
        store = MongoDeadLetters(database)
        await store.ensure_indexes()
        indexes = await database["dead_letters"].index_information()
        open_one, closed = await _filed(store, _case(1), _case(2))
        await store.close(closed.id, CaseEntry(at=utc_now(), action=CaseState.DISCARDED))
        found = {d["_id"]: d async for d in database["dead_letters"].find()}
    assert indexes["closed_at_1"]["expireAfterSeconds"] == KEPT.total_seconds()
    assert "closed_at" not in found[open_one.id]
    assert found[closed.id]["closed_at"].tzinfo is not None


async def test_a_server_that_is_away_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photo_pipeline.storage.mongo.TIMEOUT_MS", 200)
    async with open_database("mongodb://127.0.0.1:1/none") as database:
        store = MongoDeadLetters(database)
        case = _case(1)
        with pytest.raises(StoreUnavailableError):
            await store.file(case)
        with pytest.raises(StoreUnavailableError):
            await store.get(case.id)
        with pytest.raises(StoreUnavailableError):
            await store.groups(ALL)
