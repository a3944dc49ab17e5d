"""The stores of status documents, fake and real, for suites over both."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from photo_pipeline.settings import Settings
from photo_pipeline.storage.mongo import open_database
from photo_pipeline.storage.mongo_photos import MongoPhotos
from photo_pipeline.storage.photos import Photos
from support.fakes import FakePhotos

KINDS = ("fake", "mongo")


@asynccontextmanager
async def open_photos(kind: str, settings: Settings) -> AsyncIterator[Photos]:
    """Yield an empty store, with its indexes."""
    if kind == "fake":
        yield FakePhotos()
        return
    async with open_database(settings.store.mongo_url) as database:
        store = MongoPhotos(database)
        await store.ensure_indexes()
        yield store
