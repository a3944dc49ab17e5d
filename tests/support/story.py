"""The life of a photo, change by change, in a store that no worker touches."""

from collections.abc import Iterator

from photo_pipeline.domain.changes import Change, photo_done, stage_done, stage_started
from photo_pipeline.domain.messages import StatusEvent, latest_event
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.storage.photos import Photos
from support.pipeline import STAGES, make_photo

REVISIONS = 2 + 2 * len(STAGES)
"""How many changes a photo has that goes through without trouble."""


class Story:
    """One photo; each turn changes it and returns the hint that a worker would publish."""

    def __init__(self, photos: Photos, photo: Photo) -> None:
        self.id = photo.id
        self._photos = photos
        self._changes = _changes()

    @classmethod
    async def begin(cls, photos: Photos, photo: Photo | None = None) -> "Story":
        photo = photo or make_photo()
        await photos.insert(photo)
        return cls(photos, photo)

    async def turn(self) -> StatusEvent:
        result = await self._photos.apply(self.id, 1, next(self._changes))
        assert result.applied
        return latest_event(result.photo)

    async def turns(self, count: int = REVISIONS - 1) -> list[StatusEvent]:
        return [await self.turn() for _ in range(count)]


def _changes() -> Iterator[Change]:
    names = list(STAGES)
    for name, following in zip(names, [*names[1:], None], strict=True):
        yield stage_started(name, attempt=1, worker="worker-1", at=utc_now())
        yield stage_done(
            name,
            recipe="r",
            renditions=(),
            facts={},
            next_stage=following,
            attempt=1,
            worker="worker-1",
            at=utc_now(),
        )
    yield photo_done(at=utc_now())
