"""Photos with an outcome, and the archive that a test looks at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from photo_pipeline.domain.changes import photo_done
from photo_pipeline.domain.messages import OutcomeEvent, outcome_event
from photo_pipeline.domain.photo import Photo, Rendition, StageSlot, utc_now
from photo_pipeline.domain.status import PhotoStatus, StageStatus
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.blobs import Blobs, original_key, rendition_key
from photo_pipeline.subscribers.archive import Archive
from support.fakes import FakeBlobs, FakePhotos
from support.pipeline import make_photo

ORIGINAL = b"original"
RENDITIONS: Mapping[str, bytes] = {"640": b"medium", "320": b"small"}


@dataclass
class Service:
    """What the archive copies from, and to."""

    archive: Blobs = field(default_factory=FakeBlobs)
    blobs: Blobs = field(default_factory=FakeBlobs)
    photos: FakePhotos = field(default_factory=FakePhotos)
    metrics: Metrics = field(default_factory=Metrics)

    def subscriber(self) -> Archive:
        """Return the handler as a fresh process would build it."""
        return Archive(
            archive=self.archive, photos=self.photos, blobs=self.blobs, metrics=self.metrics
        )

    async def finish(
        self,
        photo: Photo | None = None,
        *,
        original: bytes = ORIGINAL,
        renditions: Mapping[str, bytes] = RENDITIONS,
        **changes: Any,
    ) -> tuple[Photo, OutcomeEvent]:
        """Bring a photo, new or reprocessed, to its outcome, and return the event of it."""
        before = photo or make_photo(["first"])
        key = original_key(before.id, before.filename)
        await self.blobs.write(key, original)
        made = [await self._write(before.id, name, data) for name, data in renditions.items()]
        after = before.model_copy(
            update={
                "status": PhotoStatus.DONE,
                "revision": before.revision + 1,
                "original": key,
                "bytes": len(original),
                "sha256": sha256(original).hexdigest(),
                "stages": {"first": StageSlot(status=StageStatus.DONE, renditions=tuple(made))},
                "timeline": (*before.timeline, photo_done(at=utc_now()).entry),
                **changes,
            }
        )
        await self.photos.become(after)
        return after, outcome_event(after)

    async def _write(self, photo_id: str, name: str, data: bytes) -> Rendition:
        digest = sha256(data).hexdigest()
        key = rendition_key(photo_id, digest[:16], name, "jpg")
        await self.blobs.write(key, data)
        return Rendition(
            name=name,
            stage="first",
            width=1,
            height=1,
            format="jpeg",
            content_type="image/jpeg",
            bytes=len(data),
            sha256=digest,
            key=key,
        )


def folder(photo: Photo) -> str:
    """Return the folder of *photo* in the archive."""
    return f"{photo.created_at:%Y/%m/%d}/{photo.id}"


def stored(root: Path) -> dict[str, tuple[int, int, str]]:
    """Return every file below *root* with inode, time of change and checksum."""
    return {
        str(path.relative_to(root)): (
            path.stat().st_ino,
            path.stat().st_mtime_ns,
            sha256(path.read_bytes()).hexdigest(),
        )
        for path in root.rglob("*")
        if path.is_file()
    }
