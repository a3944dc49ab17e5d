"""A deliberately broken pipeline, for the proof of the proof: debts are forgotten.

Python runs this file at its start wherever its folder is on PYTHONPATH; nothing else knows it.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import datetime

if "--role" in sys.orig_argv:
    from photo_pipeline import dispatch as dispatching
    from photo_pipeline.api import uploads
    from photo_pipeline.broker.publisher import Publisher
    from photo_pipeline.domain.photo import Photo
    from photo_pipeline.storage.mongo_photos import MongoPhotos
    from photo_pipeline.storage.photos import Photos

    async def dispatch_later(photo: Photo, photos: Photos, publisher: Publisher) -> None:
        await asyncio.sleep(2)  # makes a rare loss a certain one
        await dispatching.dispatch(photo, photos, publisher)

    async def nothing_owed(self: MongoPhotos, before: datetime) -> AsyncIterator[Photo]:
        owed: tuple[Photo, ...] = ()
        for photo in owed:
            yield photo

    vars(uploads)["dispatch"] = dispatch_later
    MongoPhotos.owed = nothing_owed  # type: ignore[method-assign]
