"""The bytes of photos as the pipeline knows them: a store of blobs, and their keys."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import PurePosixPath
from typing import BinaryIO, Final, Protocol

ORIGINALS: Final = "originals"
RENDITIONS: Final = "renditions"
SHARED: Final = 2  # leading folders of a key that several photos share
CHUNK_BYTES: Final = 1024 * 1024
"""Of a stream: large enough that a thread per chunk costs nothing beside the disk, small enough
that a hundred streams at a time fit in memory."""

_LONGEST_NAME: Final = 100  # characters; file systems allow 255 bytes
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Upload(Protocol):
    """Bytes on their way in. Nothing is visible before ``commit``."""

    @property
    def size(self) -> int:
        """How many bytes have been written."""

    @property
    def sha256(self) -> str:
        """The SHA-256 (FIPS 180-4) of what has been written, in hex."""

    async def write(self, chunk: bytes) -> None:
        """Append *chunk*."""

    async def commit(self, key: str) -> None:
        """Make the bytes durable under *key*."""

    def opened(self) -> AbstractAsyncContextManager[BinaryIO]:
        """Yield what has been written so far as a plain file, to look into its header."""


class Blobs(Protocol):
    """A store of immutable blobs under slash-separated keys.

    Every method may raise BlobUnavailableError.
    """

    def upload(self) -> AbstractAsyncContextManager[Upload]:
        """Begin an upload; leaving the block without ``commit`` forgets its bytes."""

    async def read(self, key: str) -> bytes:
        """Return a blob or raise MissingBlobError."""

    def stream(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from *start* up to, not including, *stop* (None: the end).

        In chunks of at most CHUNK_BYTES; what lies behind the end of the blob is left out.
        Raises MissingBlobError when the first chunk is asked for. Who may leave early closes
        it (``contextlib.aclosing``).
        """

    async def write(self, key: str, data: bytes) -> None:
        """Keep *data* durably under *key*. Repeating it with the same bytes is harmless."""

    async def size(self, key: str) -> int | None:
        """Return how many bytes a blob has; None if there is none."""

    async def delete(self, key: str) -> None:
        """Remove a blob, if it is there."""

    async def delete_under(self, prefix: str) -> None:
        """Remove every blob whose key begins with the folder *prefix*."""

    async def check(self) -> None:
        """Raise BlobUnavailableError unless something can be written."""

    def aged(self, shard: str, before: datetime) -> AsyncIterator[tuple[str, list[str]]]:
        """Yield photo ids with the keys of their blobs that were written before *before*.

        Of the photos in one of the SHARDS.
        """

    async def drop_stale(self, before: datetime) -> int:
        """Forget the uploads that nobody has written to since *before*; return how many."""

    async def free_bytes(self) -> int:
        """Return how many bytes have room yet."""


SHARDS: Final = tuple(f"{n:02x}" for n in range(256))


def photo_prefixes(photo_id: str) -> tuple[str, ...]:
    """Return the folders that hold every blob of a photo."""
    return tuple(f"{kind}/{_shard(photo_id)}/{photo_id}" for kind in (ORIGINALS, RENDITIONS))


def original_key(photo_id: str, filename: str) -> str:
    """Return the key of an untouched upload."""
    return f"{ORIGINALS}/{_shard(photo_id)}/{photo_id}/{safe_name(filename)}"


def rendition_key(photo_id: str, recipe: str, name: str, extension: str) -> str:
    """Return the key of a rendition; *recipe* is the hash of what it was made from and how."""
    return f"{RENDITIONS}/{_shard(photo_id)}/{photo_id}/{recipe}/{name}.{extension}"


def _shard(photo_id: str) -> str:
    # The last two hex digits: a UUIDv7 begins with the time, which would fill one folder.
    return photo_id[-2:]


def safe_name(filename: str) -> str:
    """Return *filename* as something every file system takes: no path, no odd characters."""
    name = PurePosixPath(filename.replace("\\", "/")).name
    cleaned = _UNSAFE.sub("_", name).lstrip(".")
    stem, dot, extension = cleaned.rpartition(".")
    if dot and len(extension) < _LONGEST_NAME // 2:
        return f"{stem[: _LONGEST_NAME - len(extension) - 1] or 'photo'}.{extension}"
    return cleaned[:_LONGEST_NAME] or "photo"
