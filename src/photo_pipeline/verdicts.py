"""Telling of the verdicts that people give: one event each on the exchange of outcomes.

A verdict is answered when it is durable; the event may follow later, because the document says
that it is owed. The API tells at once, ``reconcile`` what a crash or an outage left.
"""

import structlog

from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain.messages import verdict_events
from photo_pipeline.domain.photo import Photo
from photo_pipeline.storage.photos import Photos

log = structlog.get_logger()


async def tell_verdicts(photo: Photo, photos: Photos, publisher: Publisher) -> None:
    """Tell every verdict on *photo* that may not have been told, then clear the debt.

    A cut in between repeats the events, with the same ids. A verdict given meanwhile keeps the
    debt open: whoever gave it tells. Raises BrokerUnavailableError or StoreUnavailableError.
    """
    owed = [e for e in verdict_events(photo) if photo.owed_since and e.at >= photo.owed_since]
    for event in owed:
        await publisher.outcome(event, traceparent=photo.traceparent)
        log.info("verdict.published", photo_id=photo.id, event_id=event.event_id)
    await photos.paid(photo.id, photo.run, photo.revision)
