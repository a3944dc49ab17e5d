"""What an upload leaves when the insert of its document does not simply succeed."""

import asyncio
from typing import Any, cast

import pytest
from aiohttp import web

from photo_pipeline.api import keys, uploads
from photo_pipeline.api.idempotency import Claim
from photo_pipeline.domain.photo import Photo
from photo_pipeline.errors import StoreUnavailableError
from support.fakes import FakeBlobs, FakePhotos, Scissors
from support.pipeline import make_photo


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        # The server may still carry it out, after whatever would be tried to undo it.
        (StoreUnavailableError("timed out"), True),
        (asyncio.CancelledError(), True),
        (StoreUnavailableError("no server", in_doubt=False), False),
        (RuntimeError("document too large"), False),
    ],
)
async def test_bytes_go_only_if_there_will_certainly_be_no_document(
    error: BaseException, kept: bool
) -> None:
    class Failing(FakePhotos):
        async def insert(self, photo: Photo) -> bool:
            raise error

    blobs, photo = FakeBlobs(Scissors()), make_photo()
    blobs.data[photo.original] = b"photo"
    app: dict[Any, Any] = {keys.PHOTOS: Failing(), keys.BLOBS: blobs}
    with pytest.raises(type(error)):
        await uploads._insert(cast("web.Application", app), photo, Claim(photo_id=photo.id))
    assert (photo.original in blobs.data) is kept
