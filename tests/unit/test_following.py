"""Following: from wherever a client begins, and whatever hints come, it gets the rest once."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from photo_pipeline.api import following
from photo_pipeline.api.everything import LONGEST_REPLAY, RESUME_OVERLAP, all_frames, read_since
from photo_pipeline.api.feed import Feed
from photo_pipeline.api.following import check_since, frames, read_revision
from photo_pipeline.api.hub import Inbox, Lagging
from photo_pipeline.domain.changes import photo_requeued
from photo_pipeline.domain.messages import StatusEvent, latest_event
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.errors import InvalidRequestError
from support.fakes import FakePhotos
from support.pipeline import STAGES, make_photo
from support.story import REVISIONS, Story


@pytest.fixture
def photos() -> FakePhotos:
    return FakePhotos()


def _hint(feed: Feed, event: StatusEvent) -> None:
    feed.on_body(event.encode())


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("since", [None, 0, 3, REVISIONS - 1])
async def test_a_photo_is_told_to_its_end_whatever_hints_come(
    photos: FakePhotos, monkeypatch: pytest.MonkeyPatch, since: int | None, seed: int
) -> None:
    monkeypatch.setattr(following, "LOOK_AGAIN_S", 0.01)
    chance = random.Random(seed)  # noqa: S311  # it is to repeat itself
    feed = Feed()
    story = await Story.begin(photos)
    before = await story.turns(chance.randint(since or 0, REVISIONS - 1)) if since else []

    async def work() -> None:
        hints = before.copy()
        for _ in range(REVISIONS - 1 - len(before)):
            hints.append(await story.turn())
            for hint in chance.choices(hints, k=chance.randint(0, 2)):
                _hint(feed, hint)
            await asyncio.sleep(0)

    with feed.following(story.id) as inbox:
        working = asyncio.create_task(work())
        async with asyncio.timeout(10):
            told = [frame async for frame in frames(photos, inbox, story.id, since)]
        await working
    first = (since or 0) + 1
    if since is None:
        snapshot = json.loads(told[0].text)
        assert snapshot["type"] == "snapshot"
        assert snapshot["revision"] == snapshot["photo"]["revision"] == told[0].revision
        first = told.pop(0).revision + 1
    assert [frame.revision for frame in told] == list(range(first, REVISIONS + 1))
    timeline = (await photos.get(story.id)).timeline
    for frame in told:
        body = json.loads(frame.text)
        assert body["type"] == timeline[frame.revision - 1].type
        assert body["revision"] == frame.revision


async def test_a_flood_of_hints_overflows_an_inbox_and_loses_nothing(photos: FakePhotos) -> None:
    feed = Feed()
    story = await Story.begin(photos)
    with feed.following(story.id) as inbox:
        stream = frames(photos, inbox, story.id, 0)
        assert (await anext(stream)).revision == 1
        hints = await story.turns()
        for _ in range(100):
            for hint in hints:
                _hint(feed, hint)
        assert inbox.full()
        assert [f.revision async for f in stream] == list(range(2, REVISIONS + 1))


async def test_a_run_that_follows_is_told_on_from_the_middle_of_the_first(
    photos: FakePhotos,
) -> None:
    story = await Story.begin(photos)
    await story.turns()
    photo = await photos.get(story.id)
    requeued = photo_requeued(
        photo, preset=photo.preset, pipeline=tuple(STAGES), from_stage="first", at=utc_now()
    )
    await photos.apply(story.id, 1, requeued)
    feed = Feed()
    with feed.following(story.id) as inbox:
        stream = frames(photos, inbox, story.id, 3)
        told = [(await anext(stream)).revision for _ in range(REVISIONS - 2)]
    assert told == list(range(4, REVISIONS + 2))


async def test_a_stream_ends_when_its_client_is_gone(photos: FakePhotos) -> None:
    story = await Story.begin(photos)
    with Feed().following(story.id) as inbox:
        told = [f.revision async for f in frames(photos, inbox, story.id, 0, lambda: True)]
    assert told == [1]


@pytest.mark.parametrize(
    ("text", "revision"), [(None, None), ("0", 0), ("7", 7), ("007", 7), ("999999999", 999999999)]
)
def test_a_revision_is_read(text: str | None, revision: int | None) -> None:
    assert read_revision(text, "since") == revision


@pytest.mark.parametrize("text", ["", " 1", "-1", "+1", "1.0", "x", "٣", "1_0", "9" * 10])
def test_what_is_no_revision_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="Last-Event-ID must be a revision"):
        read_revision(text, "Last-Event-ID")


def test_a_revision_ahead_of_the_photo_is_refused() -> None:
    check_since(make_photo(), 1)
    with pytest.raises(InvalidRequestError, match="revision 1"):
        check_since(make_photo(), 2)


@pytest.mark.parametrize("form", ["{}Z", "{} 00:00", "{}+00:00", "{}.000Z", "{}.000000+0000"])
def test_a_time_is_read(form: str) -> None:
    at = utc_now().replace(microsecond=0) - timedelta(minutes=1)
    assert read_since(form.format(at.replace(tzinfo=None).isoformat())) == at


@pytest.mark.parametrize(
    "text", ["", "x", "5", "2026-01-31", "2026-01-31T12:00:00", "12:00:00Z", "2026-13-31T12:00:00Z"]
)
def test_what_is_no_time_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="with its zone"):
        read_since(text)


@pytest.mark.parametrize("text", [None, "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_nothing_or_a_time_long_ago_is_a_wish_for_a_snapshot(text: str | None) -> None:
    assert read_since(text) is None


def test_the_longest_replay_is_not_a_snapshot() -> None:
    at = utc_now() - LONGEST_REPLAY + timedelta(seconds=10)
    assert read_since(at.isoformat()) == at


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-14:00", "9000-01-01T00:00:00Z"])
def test_a_time_to_come_is_now(text: str) -> None:
    before = utc_now()
    since = read_since(text)
    assert since is not None
    assert before <= since <= utc_now()
    assert since.tzinfo is UTC


async def _take(photos: FakePhotos, inbox: Inbox, since: datetime | None) -> list[dict[str, Any]]:
    """Read until the inbox ends."""
    inbox.put_nowait(None)
    told: list[dict[str, Any]] = []
    try:
        async for frame in all_frames(photos, inbox, since):
            told.append(json.loads(frame.text))  # noqa: PERF401  # it ends with an error
    except Lagging:
        return told
    raise AssertionError("a stream of all never ends well")


async def test_all_begins_with_a_snapshot_and_goes_on_behind_it(photos: FakePhotos) -> None:
    story, other = await Story.begin(photos), await Story.begin(photos)
    inbox: Inbox = asyncio.Queue()
    for hint in await story.turns(2):
        inbox.put_nowait(hint)  # told before the snapshot was read, so they are in it
    before = utc_now()
    frames_ = await _take(photos, inbox, None)
    (snapshot,) = frames_
    assert snapshot["type"] == "snapshot"
    assert datetime.fromisoformat(snapshot["at"]) >= before
    assert [(p["id"], p["revision"]) for p in snapshot["photos"]] == [(other.id, 1), (story.id, 3)]


async def test_what_follows_the_snapshot_is_told(photos: FakePhotos) -> None:
    story = await Story.begin(photos)
    inbox: Inbox = asyncio.Queue()
    stream = all_frames(photos, inbox, None)
    await anext(stream)
    for hint in await story.turns(2):
        inbox.put_nowait(hint)
    assert [(await anext(stream)).revision for _ in range(2)] == [2, 3]


async def test_since_tells_whole_photos_that_have_changed_around_it_or_later(
    photos: FakePhotos,
) -> None:
    now = utc_now()
    old = await Story.begin(photos, _aged(now - RESUME_OVERLAP - timedelta(seconds=1)))
    near = await Story.begin(photos, _aged(now - RESUME_OVERLAP + timedelta(seconds=1)))
    changed = await Story.begin(photos, _aged(now - timedelta(hours=2)))
    await changed.turns(3)
    told = await _take(photos, asyncio.Queue(), now)
    assert old.id not in {frame["photo_id"] for frame in told}
    assert [(f["photo_id"], f["revision"]) for f in told] == [
        (near.id, 1),
        *((changed.id, n) for n in range(1, 5)),
    ]


def _aged(at: datetime) -> Photo:
    photo = make_photo(created_at=at, updated_at=at)
    entries = tuple(entry.model_copy(update={"at": at}) for entry in photo.timeline)
    return photo.model_copy(update={"timeline": entries})


async def test_a_photo_that_changes_amid_the_replay_is_told_once(photos: FakePhotos) -> None:
    """It moves to the end of the index that the replay walks along, and comes up again."""
    story = await Story.begin(photos)
    photo = await photos.get(story.id)
    hints = await story.turns(2)
    later = await photos.get(story.id)

    async def changed_since(_: datetime) -> Any:
        yield photo
        yield later

    photos.changed_since = changed_since  # type: ignore[method-assign,assignment]
    inbox: Inbox = asyncio.Queue()
    for hint in hints:
        inbox.put_nowait(hint)
    inbox.put_nowait(latest_event(later).model_copy(update={"revision": 4}))
    told = await _take(photos, inbox, utc_now())
    assert [frame["revision"] for frame in told] == [1, 2, 3, 4]
