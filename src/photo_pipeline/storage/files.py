"""Blobs as files: written whole or not at all."""

import asyncio
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import aiofiles
import aiofiles.os
from aiofiles.threadpool.binary import AsyncBufferedIOBase, AsyncBufferedReader

from photo_pipeline.errors import BlobUnavailableError, MissingBlobError, StorageFullError
from photo_pipeline.storage.blobs import CHUNK_BYTES, ORIGINALS, RENDITIONS, SHARED, Blobs

TEMPORARY: Final = "tmp"  # on the same file system, so that a rename is atomic
_REMOVE_TRIES: Final = 3
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(f"storage: no room for {what}") from error
        reason = errno.errorcode.get(error.errno or 0, type(error).__name__)
        raise BlobUnavailableError(f"storage: {reason} on {what}") from error


class FileBlobs:
    """Blobs in a folder of a POSIX file system."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @asynccontextmanager
    async def upload(self) -> AsyncIterator["FileUpload"]:
        temporary = self._root / TEMPORARY / uuid4().hex
        with _translated("a new upload"):
            await aiofiles.os.makedirs(temporary.parent, exist_ok=True)
            file = await aiofiles.open(temporary, "xb")
        try:
            yield FileUpload(self._root, temporary, file)
        finally:
            # Shielded: a client that hangs up must not leave its temporary file behind.
            await asyncio.shield(_forget(file, temporary))

    async def read(self, key: str) -> bytes:
        async with self._reading(key) as file:
            return await file.read()

    async def stream(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        async with self._reading(key) as file:
            await file.seek(start)
            while True:
                wanted = CHUNK_BYTES if stop is None else min(CHUNK_BYTES, stop - start)
                chunk = await file.read(wanted) if wanted > 0 else b""
                if not chunk:
                    return
                yield chunk
                start += len(chunk)

    @asynccontextmanager
    async def _reading(self, key: str) -> AsyncIterator[AsyncBufferedReader]:
        with _translated(key):
            try:
                file = await aiofiles.open(self._path(key), "rb")
            except FileNotFoundError as error:
                # Only here: a folder that vanishes under a write is the storage's trouble.
                raise MissingBlobError(f"{key} is gone") from error
            try:
                yield file
            finally:
                await file.close()

    async def write(self, key: str, data: bytes) -> None:
        async with self.upload() as upload:
            await upload.write(data)
            await upload.commit(key)

    async def delete(self, key: str) -> None:
        path = self._path(key)
        with _translated(key), suppress(FileNotFoundError):
            await aiofiles.os.remove(path)
        # The photo's own folders go with their last file; the shards above are shared, and
        # removing one could pull it from under an upload that has just made it.
        with suppress(OSError):
            for folder in path.parents[: len(path.relative_to(self._root).parts) - 1 - SHARED]:
                await aiofiles.os.rmdir(folder)

    async def delete_under(self, prefix: str) -> None:
        folder = self._path(prefix)
        with _translated(prefix):
            await asyncio.to_thread(_remove_tree, folder)

    async def size(self, key: str) -> int | None:
        with _translated(key), suppress(FileNotFoundError):
            return (await aiofiles.os.stat(self._path(key))).st_size
        return None

    def _path(self, key: str) -> Path:
        return _inside(self._root, key)

    async def check(self) -> None:
        folder = self._root / TEMPORARY
        with _translated("the storage folder"):
            await aiofiles.os.makedirs(folder, exist_ok=True)
            if not await aiofiles.os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, "not writable")

    async def aged(self, shard: str, before: datetime) -> AsyncIterator[tuple[str, list[str]]]:
        with _translated(f"shard {shard}"):
            found = await asyncio.to_thread(_aged, self._root, shard, before)
        for photo_id, keys in found.items():
            yield photo_id, keys

    async def drop_stale(self, before: datetime) -> int:
        with _translated("the temporary folder"):
            return await asyncio.to_thread(_drop_stale, self._root / TEMPORARY, before)

    async def free_bytes(self) -> int:
        with _translated("the storage folder"):
            await aiofiles.os.makedirs(self._root, exist_ok=True)
            return (await asyncio.to_thread(shutil.disk_usage, self._root)).free


class FileUpload:
    """An upload into a temporary file beside the blobs."""

    def __init__(self, root: Path, temporary: Path, file: AsyncBufferedIOBase) -> None:
        self._root = root
        self._temporary = temporary
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def write(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.size += len(chunk)
        with _translated("an upload"):
            await self._file.write(chunk)

    async def commit(self, key: str) -> None:
        with _translated(key):
            await self._file.flush()
            await asyncio.to_thread(
                _rename_durably, self._file.fileno(), self._temporary, _inside(self._root, key)
            )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[BinaryIO]:
        with _translated("an upload"):
            await self._file.flush()
            file = await asyncio.to_thread(self._temporary.open, "rb")
        try:
            yield file
        finally:
            file.close()


def _remove_tree(folder: Path) -> None:
    """Remove *folder* durably, also while somebody else removes it or writes into it."""
    tries_left = _REMOVE_TRIES
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue  # somebody else removes it too, so there is ever less
        except OSError as error:  # a late writer: once more takes that too
            tries_left -= 1
            if error.errno != errno.ENOTEMPTY or not tries_left:
                raise
    if folder.parent.exists():
        _sync_folder(folder.parent)


def _aged(root: Path, shard: str, before: datetime) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind in (ORIGINALS, RENDITIONS):
        for folder, _, names in os.walk(root / kind / shard):
            for path in (Path(folder, name) for name in names):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    if path.stat().st_mtime < before.timestamp():
                        key = path.relative_to(root)
                        found.setdefault(key.parts[SHARED], []).append(key.as_posix())
    return found


def _drop_stale(folder: Path, before: datetime) -> int:
    dropped = 0
    for path in folder.iterdir() if folder.exists() else ():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before.timestamp():
                path.unlink()
                dropped += 1
    return dropped


def _inside(root: Path, key: str) -> Path:
    """Return the path of *key*; a key that leads out of *root* is a bug or an attack."""
    parts = PurePosixPath(key).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise ValueError(f"not a key: {key!r}")
    return root.joinpath(*parts)


async def _forget(file: AsyncBufferedIOBase, temporary: Path) -> None:
    with suppress(OSError):
        await file.close()
    with suppress(OSError):  # already renamed, or never written
        await aiofiles.os.remove(temporary)


def _rename_durably(descriptor: int, temporary: Path, target: Path) -> None:
    """Bytes first, then the name: after a power cut the blob is whole or not there."""
    os.fsync(descriptor)
    created = [p for p in target.parents if not p.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(target)
    # A name is durable when the folder that holds it is.
    for folder in {target.parent, *(p.parent for p in created)}:
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_blobs(url: str) -> Blobs:
    """Return the store that *url* names: ``file:///absolute/folder``."""
    return FileBlobs(Path(unquote(urlsplit(url).path)))
