"""``DELETE /photos/{id}``: a tombstone first, then every byte goes."""

import structlog
from aiohttp import web
from pydantic import BaseModel

from photo_pipeline.api import keys
from photo_pipeline.api.problems import json_response
from photo_pipeline.domain.changes import photo_deleted
from photo_pipeline.domain.messages import latest_event
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.erase import erase

log = structlog.get_logger()


class Deleted(BaseModel):
    """The answer to a deletion: from now on nothing but the tombstone is served."""

    id: str
    status: PhotoStatus


async def delete_photo(request: web.Request) -> web.Response:
    """Delete a photo, in whatever state it is; deleting it again changes nothing."""
    photo = await _entomb(request.app, request.match_info["id"])
    return json_response(Deleted(id=photo.id, status=photo.status), status=202)


async def _entomb(app: web.Application, photo_id: str) -> Photo:
    photos = app[keys.PHOTOS]
    photo = await photos.get(photo_id)
    while photo.status is not PhotoStatus.DELETED:
        result = await photos.apply(photo_id, photo.run, photo_deleted(photo, at=utc_now()))
        photo = result.photo  # refused: another run has just begun, or somebody was quicker
        if result.applied:
            log.info("photo.deleted", photo_id=photo_id)
            app[keys.BACKGROUND].spawn(f"erase {photo_id}", _finish(app, photo))
    return photo


async def _finish(app: web.Application, photo: Photo) -> None:
    await app[keys.PUBLISHER].status(latest_event(photo), traceparent=photo.traceparent)
    await erase(photo, app[keys.PHOTOS], app[keys.BLOBS])
