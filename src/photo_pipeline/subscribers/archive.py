"""Permanent storage: a verified copy of every photo that has reached its outcome.

One entry per outcome, which nothing written later touches::

    <yyyy>/<mm>/<dd>/<photo id>/                the day of the upload, in UTC
        original/<file name>                    the untouched upload, shared by all outcomes
        outcome-<revision>/renditions/<name>.<extension>   also those that are not served
        outcome-<revision>/status.json          the status document; last: the entry is complete

A reprocessed photo gets another ``outcome-…`` beside the earlier one. Every step may be
repeated: what is there and has the right checksum stays as it is.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Final, Literal

import structlog

from photo_pipeline.domain.messages import OutcomeEvent
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import ArchiveCorruptError, BlobUnavailableError, MissingBlobError
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.blobs import Blobs, safe_name
from photo_pipeline.storage.files import open_blobs
from photo_pipeline.storage.photos import Photos
from photo_pipeline.subscribers import Handle, Tools

log = structlog.get_logger()

_REVISION_DIGITS: Final = 4  # so that a folder's listing has the outcomes in their order

Bytes = AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that belongs into the archive, and where its bytes come from."""

    kind: Literal["original", "rendition", "status"]
    key: str
    bytes: int
    sha256: str
    read: Callable[[], Bytes]


@asynccontextmanager
async def open_subscriber(tools: Tools) -> AsyncIterator[Handle]:
    """Yield the handler; without an archive it takes the events and does nothing."""
    url = tools.settings.archive.archive_url
    if url is None:
        log.info("archive.off", reason="PHOTO_ARCHIVE_URL is not set: nothing is copied")
        yield _ignore
        return
    yield Archive(
        archive=open_blobs(url), photos=tools.photos, blobs=tools.blobs, metrics=tools.metrics
    )


async def _ignore(event: OutcomeEvent) -> None:
    log.debug("archive.ignored", event_id=event.event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Copies the files of one outcome from *blobs* to *archive*."""

    archive: Blobs
    photos: Photos
    blobs: Blobs
    metrics: Metrics

    async def __call__(self, event: OutcomeEvent) -> None:
        """Bring the archive to where it has all of *event*'s outcome.

        Raises ArchiveCorruptError, MissingBlobError and UnknownPhotoError, which nothing mends,
        and BlobUnavailableError when either storage is in trouble.
        """
        photo = await self.photos.get(event.photo_id)
        gone = _gone(event, photo)
        copied = 0
        if gone is None:
            try:
                for file in _files(event, photo, self.blobs):
                    with _told_of(file):
                        copied += await self._keep(file)
            except (MissingBlobError, ArchiveCorruptError):
                # No fault if the photo was deleted or reprocessed under our hands.
                gone = _gone(event, await self.photos.get(event.photo_id))
                if gone is None:
                    raise
        if gone is not None:
            log.info("archive.skipped", event_id=event.event_id, reason=gone)
            return
        log.info("archive.kept", event_id=event.event_id, copied=copied)

    async def _keep(self, file: File) -> bool:
        """Copy *file* unless the archive has it; return whether it was copied."""
        if await self._has(file):
            return False
        async with self.archive.upload() as upload:
            async with aclosing(file.read()) as chunks:
                async for chunk in chunks:
                    await upload.write(chunk)
            if (upload.size, upload.sha256) != (file.bytes, file.sha256):
                raise ArchiveCorruptError(
                    f"{file.kind} {PurePosixPath(file.key).name} has {upload.size} bytes with "
                    f"SHA-256 {upload.sha256}; the status document tells of {file.bytes} bytes "
                    f"with {file.sha256}"
                )
            await upload.commit(file.key)
        if not await self._has(file):
            await self.archive.delete(file.key)
            raise BlobUnavailableError("the archive reads differently than written")
        self.metrics.archived_files.labels(file.kind).inc()
        self.metrics.archived_bytes.labels(file.kind).inc(file.bytes)
        return True

    async def _has(self, file: File) -> bool:
        digest, size = hashlib.sha256(), 0
        try:
            async with aclosing(self.archive.stream(file.key)) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
        except MissingBlobError:
            return False
        return (size, digest.hexdigest()) == (file.bytes, file.sha256)


@contextmanager
def _told_of(file: File) -> Iterator[None]:
    """Say in the errors of either storage what was being copied."""
    try:
        yield
    except BlobUnavailableError as error:
        raise BlobUnavailableError(f"archiving {file.key}: {error}") from error


def _gone(event: OutcomeEvent, photo: Photo) -> str | None:
    """Return why the outcome cannot be copied any more; None as long as it can."""
    if photo.status is PhotoStatus.DELETED:
        return "deleted"
    told_of = event.photo.moderation
    closed = photo.held or (told_of is not None and not told_of.released)
    if closed and photo.status is PhotoStatus.DONE:
        return "held"  # once it is approved, an event tells of that; of a failed one none would
    told = {(r.name, r.sha256) for r in event.photo.renditions}
    stored = {(r.name, r.sha256) for r in photo.renditions}
    if photo.revision > event.revision and not told <= stored:
        return "reprocessed"  # its later outcome has an event of its own
    return None


def _files(event: OutcomeEvent, photo: Photo, blobs: Blobs) -> Iterator[File]:
    """Yield what belongs to the outcome, the status document last.

    Checksums are those that the event tells, blob keys those of the stored photo.
    """
    folder = f"{photo.created_at:%Y/%m/%d}/{photo.id}"
    outcome = f"{folder}/outcome-{event.revision:0{_REVISION_DIGITS}}"
    yield File(
        kind="original",
        key=f"{folder}/original/{safe_name(photo.filename)}",
        bytes=event.photo.bytes,
        sha256=event.photo.sha256,
        read=partial(blobs.stream, photo.original),
    )
    keys = {(r.name, r.sha256): r.key for r in photo.renditions}
    wanted = [(r.name, r.bytes, r.sha256) for r in event.photo.renditions]
    # What is not served is not in the event either; the archive is private.
    told = {r.name for r in event.photo.renditions}
    untold = (r for r in photo.renditions if photo.withholds(r.name, r.stage))
    wanted += [(r.name, r.bytes, r.sha256) for r in untold if r.name not in told]
    for name, size, sha256 in wanted:
        key = keys.get((name, sha256))
        if key is None:
            raise ArchiveCorruptError(
                f"rendition {name} with SHA-256 {sha256} is in the event and not in the store"
            )
        yield File(
            kind="rendition",
            key=f"{outcome}/renditions/{name}{PurePosixPath(key).suffix}",
            bytes=size,
            sha256=sha256,
            read=partial(blobs.stream, key),
        )
    document = f"{event.photo.model_dump_json(indent=2)}\n".encode()
    yield File(
        kind="status",
        key=f"{outcome}/status.json",
        bytes=len(document),
        sha256=hashlib.sha256(document).hexdigest(),
        read=partial(_once, document),
    )


async def _once(data: bytes) -> Bytes:
    yield data
