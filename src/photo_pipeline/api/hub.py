"""The hub: every change of every photo, in order and without gap, for who follows them all.

One sequencer per process turns hints into a complete sequence for each photo: it reads the
document when a hint shows a gap, and looks now and then for changes whose hint was lost. Every
client has a bounded inbox; one that cannot keep up is closed and resumes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import Final

import structlog
from pydantic import ValidationError

from photo_pipeline.domain.messages import StatusEvent, status_events
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.errors import RetryableError, UnknownPhotoError
from photo_pipeline.storage.photos import Photos

log = structlog.get_logger()

SWEEP_S: Final = 3.0  # how late a change arrives whose hint was lost
PAUSE_S: Final = 1.0  # before the next try when the store does not answer
OVERLAP: Final = timedelta(seconds=10)
"""How far the clocks of workers may differ, and a change be on its way, before a look for
changes by their time misses one."""

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
        self._settled = utc_now()  # what the store had by then has been told

    @contextmanager
    def following(self) -> Iterator[Inbox]:
        """Yield the inbox of one client."""
        if not self._inboxes:  # nobody listened, so nothing was sequenced meanwhile
            self._seen.clear()
            self._settled = utc_now()
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
        """Sequence hints until cancelled.

        After any failure nothing is told before a sweep has found what it may have left out: so
        no client sees a change that is much younger than one that it has still to get.
        """
        while True:
            try:
                await self._sweep()
                await self._sequence()
            except RetryableError as error:
                log.warning("hub.interrupted", code=error.code, error=error.message)
                await asyncio.sleep(PAUSE_S)
            except Exception as error:
                # Nobody waits for this task; without it every stream of all would fall silent.
                log.exception("hub.failed", error=str(error))
                await asyncio.sleep(PAUSE_S)

    async def _sequence(self) -> None:
        """Tell what is hinted at until it is time to sweep."""
        loop = asyncio.get_running_loop()
        sweep_at = loop.time() + SWEEP_S
        with suppress(TimeoutError):
            while loop.time() < sweep_at:
                async with asyncio.timeout_at(sweep_at):
                    hint = await self._hints.get()
                await self._advance(hint)
                # However many hints wait: a client that keeps up empties its inbox now.
                await asyncio.sleep(0)

    async def _advance(self, hint: StatusEvent) -> None:
        if not self._inboxes:
            return
        seen = self._seen.get(hint.photo_id, 0 if hint.revision == 1 else None)
        if seen is not None and hint.revision <= seen:
            return
        if seen is not None and hint.revision == seen + 1:
            self._tell([hint])
        else:
            await self._catch_up(hint.photo_id, hint.revision)

    async def _sweep(self) -> None:
        """Tell what has changed lately and was not hinted at."""
        if not self._inboxes:
            return
        started = utc_now()
        async for photo_id, revision in self._photos.revisions_since(self._settled - OVERLAP):
            if self._seen.get(photo_id, 0) < revision:
                await self._catch_up(photo_id)
        self._settled = started

    async def _catch_up(self, photo_id: str, hinted: int | None = None) -> None:
        try:
            photo = await self._photos.get(photo_id)
        except UnknownPhotoError:
            return
        except ValidationError as error:  # it must not hold up the others
            log.error("hub.unreadable", photo_id=photo_id, error=str(error))
            return
        self._tell(status_events(photo, self._told(photo, hinted)))
        self._remember(photo_id, photo.revision)

    def _told(self, photo: Photo, hinted: int | None) -> int:
        """Return the revision up to which the photo has been told, or is older than who listens.

        That of a photo not heard of yet, or long forgotten, follows from the time.
        """
        seen = self._seen.get(photo.id)
        if seen is not None:
            return seen
        settled = self._settled - OVERLAP
        ages = (n for n, entry in enumerate(photo.timeline) if entry.at >= settled)
        told = next(ages, photo.revision)
        return told if hinted is None else min(told, hinted - 1)

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
