"""The hub: whatever hints come, every change of every photo is told in order and once."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial

import pytest

from photo_pipeline.api import hub as hub_module
from photo_pipeline.api.hub import OVERLAP, Hub, Inbox, sequencing
from photo_pipeline.domain.messages import StatusEvent
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.errors import StoreUnavailableError
from support.fakes import FakePhotos
from support.pipeline import make_photo
from support.story import REVISIONS, Story
from support.waiting import until


class WatchedPhotos(FakePhotos):
    """Counts what is read, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.away = False

    async def get(self, photo_id: str) -> Photo:
        self._read()
        return await super().get(photo_id)

    async def revisions_since(self, since: datetime) -> AsyncIterator[tuple[str, int]]:
        self._read()
        async for found in super().revisions_since(since):
            yield found

    def _read(self) -> None:
        self.reads += 1
        if self.away:
            raise StoreUnavailableError("away")


@pytest.fixture
def photos() -> WatchedPhotos:
    return WatchedPhotos()


@pytest.fixture
async def hub(photos: WatchedPhotos) -> AsyncIterator[Hub]:
    async with sequencing(photos) as hub:
        yield hub


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweep and try again at once."""
    monkeypatch.setattr(hub_module, "SWEEP_S", 0.01)
    monkeypatch.setattr(hub_module, "PAUSE_S", 0.01)


async def _take(inbox: Inbox, count: int) -> list[StatusEvent]:
    async with asyncio.timeout(10):
        events = [await inbox.get() for _ in range(count)]
    assert None not in events
    return [event for event in events if event is not None]


def _revisions(events: list[StatusEvent]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for event in events:
        found[event.photo_id].append(event.revision)
    return found


def _all(count: int = REVISIONS, first: int = 1) -> list[int]:
    return list(range(first, count + 1))


@pytest.mark.parametrize("seed", range(20))
async def test_lost_repeated_and_shuffled_hints_make_a_complete_sequence(
    quick: None, photos: WatchedPhotos, hub: Hub, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  # it is to repeat itself
    stories = [await Story.begin(photos) for _ in range(5)]
    with hub.following() as inbox:
        hints = [hint for story in stories for hint in await story.turns()]
        kept = [hint for hint in hints for _ in range(chance.choice((0, 1, 1, 2)))]
        chance.shuffle(kept)
        for hint in kept:
            hub.offer(hint)
            if chance.random() < 0.2:
                await asyncio.sleep(0)
        events = await _take(inbox, 5 * REVISIONS)
    assert _revisions(events) == {story.id: _all() for story in stories}
    assert inbox.empty()


async def test_hints_in_order_are_told_without_reading(photos: WatchedPhotos, hub: Hub) -> None:
    await until(lambda: _slept(hub))
    with hub.following() as inbox:
        story = Story(photos, photo := make_photo())
        await photos.insert(photo)
        reads = photos.reads
        hub.offer(StatusEvent(photo_id=photo.id, revision=1, **dict(photo.timeline[0])))
        for _ in range(REVISIONS - 1):
            hub.offer(await story.turn())
        # Each turn reads the photo once more to return it, the hub does not.
        events = await _take(inbox, REVISIONS)
    assert _revisions(events) == {photo.id: _all()}
    assert photos.reads == reads + REVISIONS - 1


async def _slept(hub: Hub) -> bool:
    """Whether the hub waits for hints."""
    return bool(hub._hints._getters)  # type: ignore[attr-defined]


async def test_a_sweep_finds_what_no_hint_told(
    quick: None, photos: WatchedPhotos, hub: Hub
) -> None:
    story = await Story.begin(photos)
    with hub.following() as inbox:
        await story.turns()
        assert _revisions(await _take(inbox, REVISIONS)) == {story.id: _all()}


async def test_a_photo_older_than_who_listens_is_told_from_its_next_change(
    quick: None, photos: WatchedPhotos, hub: Hub
) -> None:
    old = utc_now() - OVERLAP - timedelta(seconds=5)
    photo = make_photo(created_at=old, updated_at=old)
    entries = tuple(entry.model_copy(update={"at": old}) for entry in photo.timeline)
    story = await Story.begin(photos, photo.model_copy(update={"timeline": entries}))
    with hub.following() as inbox:
        first, second, *rest = await story.turns()
        hub.offer(first)
        hub.offer(second)
        events = await _take(inbox, REVISIONS - 1)
    assert _revisions(events) == {story.id: _all(first=2)}
    assert [e.revision for e in rest] == _all(first=4)


async def test_a_forgotten_photo_is_not_told_again(
    quick: None, photos: WatchedPhotos, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for one photo in its memory, and none of the overlap that covers for it."""
    monkeypatch.setattr(hub_module, "_REMEMBERED", 1)
    monkeypatch.setattr(hub_module, "OVERLAP", timedelta(0))
    with hub.following() as inbox:
        told = []
        for _ in range(2):
            told.append(await Story.begin(photos))
            hub.offer(await told[-1].turn())
            assert _revisions(await _take(inbox, 2)) == {told[-1].id: [1, 2]}
            after = utc_now() + timedelta(milliseconds=1)
            await until(partial(_swept, hub, after))
        story = told[0]
        assert story.id not in hub._seen
        hub.offer(await story.turn())
        assert _revisions(await _take(inbox, 1)) == {story.id: [3]}
        assert inbox.empty()


async def _swept(hub: Hub, since: datetime) -> bool:
    return hub._settled > since


async def test_nothing_is_told_after_a_failure_before_a_sweep(
    quick: None, photos: WatchedPhotos, hub: Hub
) -> None:
    """Else a client could resume from a time behind a change that it never got."""
    with hub.following() as inbox:
        lost, told = await Story.begin(photos), await Story.begin(photos)
        await _take(inbox, 2)
        await lost.turns(2)  # its hints do not come
        told_hints = await told.turns(2)
        photos.away = True
        reads = photos.reads
        for hint in told_hints:
            hub.offer(hint)

        async def tried() -> bool:
            return photos.reads > reads + 2

        await until(tried)
        seen_before_it_was_back = inbox.qsize()
        photos.away = False
        events = await _take(inbox, 4)
    assert _revisions(events) == {lost.id: [2, 3], told.id: [2, 3]}
    assert seen_before_it_was_back <= 2  # those of before the first failed sweep


async def test_who_cannot_keep_up_gets_none_after_a_full_inbox_and_others_everything(
    photos: WatchedPhotos, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_INBOX", 5)
    with hub.following() as slow, hub.following() as quick_inbox:
        story = await Story.begin(photos)
        await story.turns()
        hub.offer((await _told(photos, story))[-1])
        read: list[StatusEvent | None] = []
        async with asyncio.timeout(10):
            read = [await slow.get() for _ in range(6)]
        assert [event and event.revision for event in read] == [1, 2, 3, 4, 5, None]
        assert slow.empty()
        assert slow not in hub._inboxes
        assert quick_inbox.qsize() == 6


async def _told(photos: FakePhotos, story: Story) -> list[StatusEvent]:
    photo = await photos.get(story.id)
    return [
        StatusEvent(photo_id=photo.id, revision=n, **dict(entry))
        for n, entry in enumerate(photo.timeline, 1)
    ]


async def test_a_burst_of_hints_overtakes_nobody_who_reads(
    photos: WatchedPhotos, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_INBOX", 10)
    stories = [await Story.begin(photos) for _ in range(20)]
    read: list[StatusEvent | None] = []
    with hub.following() as inbox:

        async def reader() -> None:
            while len(read) < 20 * REVISIONS:
                read.append(await inbox.get())

        reading = asyncio.create_task(reader())
        for story in stories:
            (first, *rest) = await _told(photos, story) + await story.turns()
            for hint in (first, *rest):
                hub.offer(hint)
        await asyncio.wait_for(reading, 10)
    assert None not in read


async def test_hints_are_dropped_while_nobody_listens_and_nothing_is_read(
    quick: None, photos: WatchedPhotos, hub: Hub
) -> None:
    story = await Story.begin(photos)
    hints = await story.turns()
    reads = photos.reads
    for hint in hints:
        hub.offer(hint)
    assert hub._hints.empty()
    settled = asyncio.get_running_loop().time() + 0.1

    async def some_sweeps_long() -> bool:
        return asyncio.get_running_loop().time() > settled

    await until(some_sweeps_long)
    assert photos.reads == reads


async def test_too_many_hints_are_found_by_a_sweep(
    quick: None, photos: WatchedPhotos, hub: Hub
) -> None:
    hub._hints = asyncio.Queue(2)
    with hub.following() as inbox:
        stories = [await Story.begin(photos) for _ in range(5)]
        for story in stories:
            for hint in await story.turns():
                hub.offer(hint)
        events = await _take(inbox, 5 * REVISIONS)
    assert _revisions(events) == {story.id: _all() for story in stories}


async def test_a_photo_that_cannot_be_read_does_not_hold_up_others(
    quick: None, photos: WatchedPhotos, hub: Hub
) -> None:
    broken = await Story.begin(photos)
    with hub.following() as inbox:
        photos._documents[broken.id]["bytes"] = "many"
        story = await Story.begin(photos)
        await story.turns()
        assert _revisions(await _take(inbox, REVISIONS)) == {story.id: _all()}
