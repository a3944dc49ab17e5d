"""Looking at a pipeline from outside: is it at rest, and what is there?"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from photo_pipeline.broker.connection import Link
from photo_pipeline.broker.inspect import count
from photo_pipeline.broker.topology import Topology
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.status import TERMINAL, PhotoStatus
from photo_pipeline.errors import RetryableError
from photo_pipeline.soak.disk import look
from photo_pipeline.soak.load import Load
from photo_pipeline.soak.outcomes import NAME, Heard
from photo_pipeline.soak.verdict import Evidence
from photo_pipeline.storage.photos import Photos, Selection

POLL_S: Final = 1.0
PAGE: Final = 200  # documents of some kilobytes each
UNFINISHED: Final = tuple(status for status in PhotoStatus if status not in TERMINAL)
LONGEST_S: Final = 3600.0
"""Of the wait for the end: a pipeline that moves, but never comes to rest, is no proof either."""
READ_TRIES: Final = 30  # a server that was started again a moment ago


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """What can be seen of the pipeline without asking it."""

    wanted: int
    photos: Photos
    link: Link
    topology: Topology
    storage: Path
    load: Load
    heard: Heard

    async def until_at_rest(self, patience_s: float, tell: Callable[[], None]) -> bool:
        """Wait until every photo has its outcome and no message is left; False if in vain.

        In vain is when nothing has moved for *patience_s* seconds, or after LONGEST_S.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + LONGEST_S
        give_up, seen = loop.time() + patience_s, self._standing()
        while loop.time() < min(give_up, end):
            with suppress(RetryableError):
                if await self._at_rest():
                    return True
            if (standing := self._standing()) != seen:
                give_up, seen = loop.time() + patience_s, standing
            tell()
            await asyncio.sleep(POLL_S)
        return False

    def _standing(self) -> int:
        return len(self.heard.events)

    async def _at_rest(self) -> bool:
        if not self.load.accepted.keys() <= self.heard.events.keys():
            return False
        if await self.photos.page(Selection(statuses=UNFINISHED), 1):
            return False
        return not any((await self._messages()).values())

    async def _messages(self) -> dict[str, int]:
        """Return how many messages wait in each queue, dead letters and our own included."""
        counts = await count(self.link, [queue.name for queue in self.topology.queues])
        return {name: found.ready for name, found in counts.items()}

    async def until_all_heard(self) -> None:
        """Wait until nothing is left in our own queue."""
        for _ in range(READ_TRIES):
            with suppress(RetryableError):
                if not (await self._messages())[NAME]:
                    return
            await asyncio.sleep(POLL_S)

    async def evidence(self) -> Evidence:
        """Return everything that is there; nobody must be at work any more.

        Raises StoreUnavailableError or BrokerUnavailableError.
        """
        photos = await self._all_photos()
        owed = frozenset(
            [photo.id async for photo in self.photos.owed(utc_now() + timedelta(seconds=1))]
        )
        accepted = dict(self.load.accepted)
        return Evidence(
            wanted=self.wanted,
            accepted=accepted,
            photos=photos,
            heard=self.heard.events,
            nonsense=self.heard.nonsense,
            disk=await asyncio.to_thread(look, self.storage, photos, accepted),
            owed=owed,
            left=await self._messages(),
        )

    async def _all_photos(self) -> dict[str, Photo]:
        found: dict[str, Photo] = {}
        before = None
        while page := await self.photos.page(
            Selection(statuses=tuple(PhotoStatus), before=before), PAGE
        ):
            found |= {photo.id: photo for photo in page}
            before = page[-1].id
        return found
