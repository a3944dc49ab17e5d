"""The status documents as the pipeline knows them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from photo_pipeline.domain.changes import Change
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import PhotoStatus, StageStatus


@dataclass(frozen=True, slots=True)
class Applied:
    """The photo as it stands now, and whether it was this change that brought it there."""

    photo: Photo
    applied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which photos to list: in one of *statuses*, at *stage* if given, older than *before*.

    And of what detection has found: with the *tag*, exactly so many *faces*, the *colour*.
    """

    statuses: tuple[PhotoStatus, ...]
    stage: str | None = None
    before: str | None = None
    tag: str | None = None
    faces: int | None = None
    colour: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How many photos stand at a stage in one status, and since when the first of them."""

    photos: int
    since: datetime


Standings = Mapping[tuple[str, StageStatus], Standing]


class Photos(Protocol):
    """The store of the status documents. Every method may raise StoreUnavailableError."""

    async def ensure_indexes(self) -> None:
        """Create the indexes that the queries here need; idempotent."""

    async def insert(self, photo: Photo) -> bool:
        """Keep a new photo, with its first message still owed to the broker.

        Return False, and change nothing, if there is one of this id.
        """

    async def remove(self, photo_id: str) -> bool:
        """Forget a photo that was never accepted; return whether there was one."""

    async def get(self, photo_id: str) -> Photo:
        """Return the photo or raise UnknownPhotoError."""

    async def apply(self, photo_id: str, run: int, change: Change) -> Applied:
        """Make *change* if the state machine allows it, atomically; else change nothing.

        The revision grows by one and the timeline by one entry in the same update. Refused
        when the photo is on another *run*. Raises UnknownPhotoError.
        """

    async def page(self, selection: Selection, limit: int) -> list[Photo]:
        """Return at most *limit* photos, newest first."""

    async def same_upload(self, photo: Photo, limit: int) -> list[Photo]:
        """Return at most *limit* others with the same SHA-256, newest first; no deleted ones."""

    async def alike(self, photo: Photo, limit: int) -> list[Photo]:
        """Return at most *limit* others whose hash is near and whose upload is another one.

        The nearest first; of equally near ones the newest. No deleted ones.
        """

    def changed_since(self, since: datetime) -> AsyncIterator[Photo]:
        """Yield the photos whose last change is at *since* or later, in the order of it."""

    def revisions_since(self, since: datetime) -> AsyncIterator[tuple[str, int]]:
        """Yield id and revision of the photos whose last change is at *since* or later."""

    async def standings(self) -> Standings:
        """Return where the photos stand that are not at their end, by stage and its status."""

    def owed(self, before: datetime) -> AsyncIterator[Photo]:
        """Yield the photos to which something has been owed since before *before*."""

    async def paid(self, photo_id: str, run: int, revision: int | None = None) -> None:
        """Note that what this *run* owed is done: its first message sent, or its bytes erased.

        With a *revision*, only if the photo still has that: what came later is owed as well.
        """

    async def waiting_for_review(self, after: str | None, limit: int) -> list[Photo]:
        """Return at most *limit* photos that wait for a person, behind *after*, oldest first."""

    async def queued_again(self, photo_id: str, run: int, at: datetime) -> None:
        """Note that a photo that waits is in its queue only since *at*, however old it is."""

    async def begun(self, stage: str) -> list[datetime]:
        """Return when the photos that are being worked on by *stage* were queued for it."""

    def waiting(self, stage: str, status: StageStatus, before: datetime) -> AsyncIterator[Photo]:
        """Yield the photos that are at *stage* in *status* since before *before*, oldest first.

        Not those at their end, nor those whose message is still owed.
        """

    async def owe(self, photo: Photo, at: datetime) -> bool:
        """Owe *photo* its message again, unless it has changed or somebody else came first."""


UNENDED: Final = (PhotoStatus.QUEUED, PhotoStatus.PROCESSING)
