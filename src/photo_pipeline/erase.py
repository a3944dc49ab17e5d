"""Erasing a deleted photo: every byte, whatever run it came from.

The tombstone comes first and says that the bytes are still owed an end; the API erases at once,
``reconcile`` what a crash or an outage left. A worker that is late finds the tombstone and takes
back what it has written meanwhile.
"""

import structlog

from photo_pipeline.domain.photo import Photo
from photo_pipeline.storage.blobs import Blobs, photo_prefixes
from photo_pipeline.storage.photos import Photos

log = structlog.get_logger()


async def erase(photo: Photo, photos: Photos, blobs: Blobs) -> None:
    """Remove every byte of *photo*, then clear the debt; in this order a cut only repeats it.

    Raises BlobUnavailableError or StoreUnavailableError; the debt then stays.
    """
    await erase_bytes(photo.id, blobs)
    await photos.paid(photo.id, photo.run)
    log.info("photo.erased", photo_id=photo.id)


async def erase_bytes(photo_id: str, blobs: Blobs) -> None:
    """Remove every byte of the photo."""
    for prefix in photo_prefixes(photo_id):
        await blobs.delete_under(prefix)
