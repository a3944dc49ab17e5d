"""The door: who comes in at all, decided before a byte of the body is read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from photo_pipeline.api.limits import Limits
from photo_pipeline.errors import OverloadedError, StorageFullError
from photo_pipeline.storage.blobs import Blobs


class Door:
    """Counts the uploads that this process has in hand."""

    def __init__(self, limits: Limits, blobs: Blobs) -> None:
        self._limits = limits
        self._blobs = blobs
        self._inside = 0

    @asynccontextmanager
    async def letting_in(self, body_bytes: int | None) -> AsyncIterator[None]:
        """Let one upload in for as long as the block runs; *body_bytes* is None if not told.

        Nobody waits in front of it: a connection that is kept costs as much as an upload, and
        the client knows better whether to wait. Raises OverloadedError, StorageFullError or
        BlobUnavailableError.
        """
        if self._inside >= self._limits.uploads:
            raise OverloadedError(f"{self._limits.uploads} uploads are in hand already")
        self._inside += 1
        try:
            # What was accepted needs room as well, for what is made of it. Whoever tells of more
            # bytes than are allowed is refused for that.
            wanted = min(body_bytes or 0, self._limits.upload_bytes)
            if await self._blobs.free_bytes() < self._limits.reserve_bytes + wanted:
                raise StorageFullError("the storage has no room for another photo")
            yield
        finally:
            self._inside -= 1
