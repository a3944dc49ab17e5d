"""Following all photos: every change of every photo, in order and without gap.

One sequencer per process turns hints into a complete sequence for each photo: it reads the
document when a hint shows a gap, and looks now and then for changes whose hint was lost. Every
client has a bounded inbox; one that cannot keep up is closed and resumes.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from photo_pipeline.api.following import Frame, event_frame
from photo_pipeline.domain.messages import StatusEvent, status_events
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.domain.summary import summary
from photo_pipeline.errors import InvalidRequestError, RetryableError, UnknownPhotoError
from photo_pipeline.storage.photos import Photos, Selection

log = structlog.get_logger()

SWEEP_S: Final = 3.0  # how late a change arrives whose hint was lost
OVERLAP: Final = timedelta(seconds=10)
"""How far the clocks of workers may differ, and a change be on its way, before a sweep that
looks for changes by their time misses one."""

LONGEST_REPLAY: Final = timedelta(hours=1)
SNAPSHOT_PHOTOS: Final = 50
LISTED: Final = tuple(status for status in PhotoStatus if status is not PhotoStatus.DELETED)
_HINTS: Final = 10_000  # waiting for the sequencer; what does not fit is found by a sweep
_INBOX: Final = 1000  # frames waiting for one client: about a minute of a busy service
_REMEMBERED: Final = 100_000  # photos whose revision the sequencer knows

Inbox = asyncio.Queue[StatusEvent | None]
"""What waits for one client; None after what did not fit."""


class Lagging(Exception):  # noqa: N818  # no failure: the client is to come again
    """The client has not kept up."""


class Hub:
    """The sequencer, and who listens to it. *offer* it every hint."""

    def __init__(self, photos: Photos) -> None:
        self._photos = photos
        self._hints: asyncio.Queue[StatusEvent] = asyncio.Queue(_HINTS)
        self._inboxes: set[Inbox] = set()
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._began = utc_now()

    @contextmanager
    def following(self) -> Iterator[Inbox]:
        """Yield the inbox of one client."""
        if not self._inboxes:  # nobody listened, so nothing was sequenced meanwhile
            self._seen.clear()
            self._began = utc_now()
        inbox: Inbox = asyncio.Queue(_INBOX + 1)
        self._inboxes.add(inbox)
        try:
            yield inbox
        finally:
            self._inboxes.discard(inbox)

    def offer(self, hint: StatusEvent) -> None:
        """Take a hint, unless nobody listens or too many wait."""
        if self._inboxes:
            with suppress(asyncio.QueueFull):
                self._hints.put_nowait(hint)

    async def run(self) -> None:
        """Sequence hints until cancelled."""
        loop = asyncio.get_running_loop()
        swept, next_sweep = utc_now(), loop.time() + SWEEP_S
        while True:
            hint = None
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_sweep):
                    hint = await self._hints.get()
            try:
                if hint is not None:
                    await self._advance(hint)
                if loop.time() >= next_sweep:
                    started = utc_now()
                    if self._inboxes:
                        await self._sweep(max(swept, self._began) - OVERLAP)
                    swept, next_sweep = started, loop.time() + SWEEP_S
            except RetryableError as error:
                log.warning("hub.interrupted", code=error.code, error=error.message)
                next_sweep = loop.time() + SWEEP_S
            except Exception as error:
                # Nobody waits for this task; without it every stream of all would fall silent.
                log.exception("hub.failed", error=str(error))

    async def _advance(self, hint: StatusEvent) -> None:
        seen = self._seen.get(hint.photo_id)
        if seen is None and hint.revision == 1:
            seen = 0
        if seen is not None and hint.revision <= seen:
            return
        if seen is not None and hint.revision == seen + 1:
            self._tell([hint])
            return
        with suppress(UnknownPhotoError):
            photo = await self._photos.get(hint.photo_id)
            self._tell(self._news(photo, at_least=hint.revision))

    async def _sweep(self, since: datetime) -> None:
        async for photo_id, revision in self._photos.revisions_since(since):
            if self._seen.get(photo_id, 0) < revision:
                with suppress(UnknownPhotoError):
                    self._tell(self._news(await self._photos.get(photo_id)))

    def _news(self, photo: Photo, at_least: int | None = None) -> list[StatusEvent]:
        """Return what the photo went through since it was last seen, or since somebody listens."""
        seen = self._seen.get(photo.id)
        if seen is None:
            seen = sum(entry.at < self._began for entry in photo.timeline)
            if at_least is not None:
                seen = min(seen, at_least - 1)
        self._remember(photo.id, photo.revision)
        return status_events(photo, seen)

    def _tell(self, events: list[StatusEvent]) -> None:
        for event in events:
            self._remember(event.photo_id, event.revision)
            for inbox in tuple(self._inboxes):
                inbox.put_nowait(event)
                if inbox.qsize() == _INBOX:
                    self._inboxes.discard(inbox)
                    inbox.put_nowait(None)

    def _remember(self, photo_id: str, revision: int) -> None:
        self._seen[photo_id] = max(revision, self._seen.get(photo_id, 0))
        self._seen.move_to_end(photo_id)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)


@asynccontextmanager
async def sequencing(photos: Photos) -> AsyncIterator[Hub]:
    """Keep a hub at work for as long as the block runs."""
    hub = Hub(photos)
    task = asyncio.create_task(hub.run(), name="hub")
    try:
        yield hub
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def read_since(text: str | None) -> datetime | None:
    """Return the time (RFC 3339) from which a client goes on, or raise InvalidRequestError."""
    if text is None:
        return None
    since = None
    with suppress(ValueError, OverflowError):
        told = datetime.fromisoformat(text.replace(" ", "+"))  # a "+" that was not escaped
        since = told.astimezone(UTC) if told.tzinfo else None
    if since is None:
        raise InvalidRequestError("since must be a time with its zone, as 2026-01-31T12:00:00Z")
    if since < utc_now() - LONGEST_REPLAY:
        raise InvalidRequestError(
            f"since is more than {LONGEST_REPLAY.total_seconds():g} s ago; begin with a snapshot"
        )
    return since


async def all_frames(photos: Photos, inbox: Inbox, since: datetime | None) -> AsyncIterator[Frame]:
    """Yield a snapshot of the newest photos, or every change from *since* on; then what follows.

    Raises Lagging when the client has not kept up.
    """
    known: dict[str, int] = {}
    if since is None:
        newest = await photos.page(Selection(statuses=LISTED), SNAPSHOT_PHOTOS)
        known = {photo.id: photo.revision for photo in newest}
        yield _snapshot(newest)
    else:
        async for photo in photos.changed_since(since):
            # Met again, if it changes while the others are being read.
            told = known.get(photo.id, 0)
            known[photo.id] = photo.revision
            for event in status_events(photo, told):
                if event.at >= since:
                    yield event_frame(event)
    while True:
        event_ = await inbox.get()
        if event_ is None:
            raise Lagging
        if event_.revision > known.get(event_.photo_id, 0):
            yield event_frame(event_)


def _snapshot(photos: list[Photo]) -> Frame:
    frame = {
        "type": "snapshot",
        "at": utc_now().isoformat().replace("+00:00", "Z"),
        "photos": [summary(photo).model_dump(mode="json") for photo in photos],
    }
    return Frame(0, json.dumps(frame))
