"""``POST /upload/``: from bytes on the wire to a durable photo.

Stream to a temporary blob under limits while hashing → look at the header → rename → insert
the status document with its dispatch still owed → answer → publish → clear the debt.
Everything that is refused leaves nothing behind.
"""

import asyncio

import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel

from photo_pipeline.api import keys
from photo_pipeline.api.form import Form, read_form
from photo_pipeline.api.problems import json_response
from photo_pipeline.dispatch import dispatch
from photo_pipeline.domain.document import LinksDocument, links
from photo_pipeline.domain.messages import latest_event
from photo_pipeline.domain.photo import (
    Photo,
    Position,
    StageSlot,
    TimelineEntry,
    new_photo_id,
    utc_now,
)
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.status import EventType, PhotoStatus, StageStatus
from photo_pipeline.domain.trace import trace_of
from photo_pipeline.errors import PhotoPipelineError, StoreUnavailableError
from photo_pipeline.imaging.probe import Probe, probe
from photo_pipeline.storage.blobs import Upload, original_key

log = structlog.get_logger()


class Accepted(BaseModel):
    """The answer to an upload, or to the wish for another run."""

    id: str
    status: PhotoStatus
    filename: str
    links: LinksDocument


async def post_upload(request: web.Request) -> web.Response:
    """Accept one photo."""
    result = "refused"
    try:
        photo = await _receive(request)
        result = "accepted"
    except PhotoPipelineError as error:
        result = error.code
        raise
    finally:
        request.app[keys.METRICS].uploads.labels(result).inc()
    log.info("photo.accepted", photo_id=photo.id, bytes=photo.bytes, format=photo.format)
    send_on_its_way(request.app, photo)
    return accepted(photo)


def send_on_its_way(app: web.Application, photo: Photo) -> None:
    """Tell of a photo's new run and pay its first message, after the answer."""
    app[keys.BACKGROUND].spawn(f"dispatch {photo.id}", _dispatch(app, photo))


def accepted(photo: Photo) -> web.Response:
    """Return the answer to whoever asked for a run."""
    answer = Accepted(
        id=photo.id, status=photo.status, filename=photo.filename, links=links(photo.id)
    )
    return json_response(answer, status=202, headers={hdrs.LOCATION: answer.links.self})


async def _receive(request: web.Request) -> Photo:
    app = request.app
    async with app[keys.BLOBS].upload() as upload:
        form = await read_form(request, upload, app[keys.LIMITS])
        preset = app[keys.PLANS].presets.named(form.preset)
        async with upload.opened() as file:
            found = await asyncio.to_thread(probe, file, app[keys.LIMITS].pixels)
        photo = new_photo(
            form,
            found,
            upload,
            preset=preset,
            pipeline=app[keys.PLANS].pipeline,
            traceparent=trace_of(request.headers.get("traceparent")),
        )
        await upload.commit(photo.original)
    await _insert(app, photo)
    return photo


async def _insert(app: web.Application, photo: Photo) -> None:
    try:
        await app[keys.PHOTOS].insert(photo)
    except (StoreUnavailableError, asyncio.CancelledError):
        # It may have happened, and it may still happen: a server that was frozen carries it out
        # when it goes on, after a removal that found nothing. Then the photo is processed; a
        # document without its bytes would be worse than bytes without a document.
        log.warning("upload.result_unknown", photo_id=photo.id, key=photo.original)
        raise
    except BaseException:
        await app[keys.BLOBS].delete(photo.original)
        raise


async def _dispatch(app: web.Application, photo: Photo) -> None:
    await app[keys.PUBLISHER].status(latest_event(photo), traceparent=photo.traceparent)
    await dispatch(photo, app[keys.PHOTOS], app[keys.PUBLISHER])


def new_photo(
    form: Form,
    found: Probe,
    upload: Upload,
    *,
    preset: Preset,
    pipeline: tuple[str, ...],
    traceparent: str,
) -> Photo:
    """Return the photo as it begins: queued, revision 1, its first stage waiting."""
    now = utc_now()
    photo_id = new_photo_id()
    filename = form.filename or "photo"
    waiting = {name: StageSlot() for name in pipeline}
    waiting[pipeline[0]] = StageSlot(queued_at=now)
    return Photo(
        id=photo_id,
        filename=filename,
        format=found.format,
        content_type=found.content_type,
        bytes=upload.size,
        sha256=upload.sha256,
        width=found.width,
        height=found.height,
        preset=preset,
        pipeline=pipeline,
        focal_point=form.focal_point,
        metadata=form.metadata,
        original=original_key(photo_id, filename),
        traceparent=traceparent,
        created_at=now,
        updated_at=now,
        position=Position(stage=pipeline[0], status=StageStatus.PENDING, since=now),
        stages=waiting,
        timeline=(TimelineEntry(at=now, type=EventType.PHOTO_QUEUED),),
    )
