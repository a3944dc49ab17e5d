"""Paying the debt of an accepted photo: the first message of its run.

An upload, or the wish for another run, is answered when bytes and status document are durable;
the message may follow later, because the document says that it is owed. The API pays at once,
``reconcile`` pays what stayed open because the broker was down or the process died.
"""

import structlog

from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain.messages import first_message
from photo_pipeline.domain.photo import Photo
from photo_pipeline.storage.photos import Photos

log = structlog.get_logger()


async def dispatch(photo: Photo, photos: Photos, publisher: Publisher) -> None:
    """Send *photo* on its way and clear the debt, in this order.

    A cut in between repeats the message, which a stage tolerates; the other order could
    lose it. Raises BrokerUnavailableError or StoreUnavailableError; the debt then stays.
    """
    await publisher.work(first_message(photo), traceparent=photo.traceparent)
    await photos.paid(photo.id, photo.run)
    log.info("photo.dispatched", photo_id=photo.id)
