"""``POST /upload/``: from bytes on the wire to a durable photo.

Claim the key, if there is one → stream to a temporary blob under limits while hashing → look at
the header → seal the key → rename → insert the status document with its dispatch still owed →
answer → publish → clear the debt. Everything that is refused leaves nothing behind.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel

from photo_pipeline.api import keys
from photo_pipeline.api.form import Form, read_form
from photo_pipeline.api.idempotency import REPLAYED, Claim, claiming, fingerprint_of
from photo_pipeline.api.problems import json_response
from photo_pipeline.dispatch import dispatch
from photo_pipeline.domain.document import LinksDocument, links
from photo_pipeline.domain.messages import latest_event
from photo_pipeline.domain.moderation import awaiting
from photo_pipeline.domain.photo import (
    Photo,
    Position,
    StageSlot,
    TimelineEntry,
    utc_now,
)
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.status import EventType, PhotoStatus, StageStatus
from photo_pipeline.domain.trace import trace_of
from photo_pipeline.erase import erase_bytes
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


@dataclass(frozen=True, slots=True)
class Replay:
    """An upload that was accepted before."""

    photo: Photo


async def post_upload(request: web.Request) -> web.Response:
    """Accept one photo, or tell again that it was accepted."""
    result = "refused"
    try:
        received = await receive(request)
        result = "accepted" if isinstance(received, Photo) else "replayed"
    except PhotoPipelineError as error:
        result = error.code
        raise
    finally:
        request.app[keys.METRICS].uploads.labels(result).inc()
    match received:
        case Replay(photo):
            log.info("photo.replayed", photo_id=photo.id)
            answer = accepted(photo)
            answer.headers[REPLAYED] = "true"
            return answer
        case photo:
            log.info("photo.accepted", photo_id=photo.id, bytes=photo.bytes, format=photo.format)
            send_on_its_way(request.app, photo)
            return accepted(photo)


def send_on_its_way(app: web.Application, photo: Photo) -> None:
    """Tell of a photo's new run and pay its first message, after the answer."""
    app[keys.BACKGROUND].spawn(f"dispatch {photo.id}", _dispatch(app, photo))


def accepted(photo: Photo) -> web.Response:
    """Return the answer to whoever asked for a run."""
    answer = Accepted(
        id=photo.id, status=PhotoStatus.QUEUED, filename=photo.filename, links=links(photo)
    )
    return json_response(answer, status=202, headers={hdrs.LOCATION: answer.links.self})


async def receive(request: web.Request) -> Photo | Replay:
    """Make an upload durable, unless that was done before."""
    app = request.app
    async with (
        app[keys.DOOR].letting_in(request.content_length),
        claiming(request, app[keys.IDEMPOTENCY], app[keys.PHOTOS]) as claim,
        app[keys.BLOBS].upload() as upload,
    ):
        form = await read_form(request, upload, app[keys.LIMITS])
        fingerprint = fingerprint_of(form, upload)
        claim.check(fingerprint)
        if claim.accepted:
            return Replay(claim.accepted)
        photo = await _judge(request, claim.photo_id, form, upload)
        await claim.seal(app[keys.IDEMPOTENCY], fingerprint)
        await upload.commit(photo.original)
        if await _insert(app, photo, claim):
            return photo
    return await _overtaken(app, photo)


async def _judge(request: web.Request, photo_id: str, form: Form, upload: Upload) -> Photo:
    """Return the photo that the upload is; raise a BadInputError if it is none."""
    plans, limits = request.app[keys.PLANS], request.app[keys.LIMITS]
    preset = plans.usable(plans.presets.named(form.preset))
    async with upload.opened() as file:
        found = await asyncio.to_thread(probe, file, limits.pixels)
    return new_photo(
        photo_id,
        form,
        found,
        upload,
        preset=preset,
        pipeline=plans.pipeline,
        traceparent=trace_of(request.headers.get("traceparent")),
    )


async def _insert(app: web.Application, photo: Photo, claim: Claim) -> bool:
    try:
        return await app[keys.PHOTOS].insert(photo)
    except BaseException as error:
        # Under a key the same upload may come again, or be at it already: whatever is there is
        # its own, and nothing may be taken from it.
        if claim.key is None:
            # Shielded: a cancelled request must not leave its bytes behind either.
            await asyncio.shield(_undo(app, photo, in_doubt=_in_doubt(error)))
        raise


def _in_doubt(error: BaseException) -> bool:
    if isinstance(error, StoreUnavailableError):
        return error.in_doubt
    return isinstance(error, asyncio.CancelledError)


async def _undo(app: web.Application, photo: Photo, *, in_doubt: bool) -> None:
    """Forget a photo that was not accepted, unless its document may still come.

    A server that was frozen carries the insert out when it goes on, after a removal that found
    nothing. Then the photo is processed; a document without its bytes would be worse.
    """
    with suppress(StoreUnavailableError):
        if not in_doubt or await app[keys.PHOTOS].remove(photo.id):
            await app[keys.BLOBS].delete(photo.original)
            return
    log.warning("upload.result_unknown", photo_id=photo.id, key=photo.original)


async def _overtaken(app: web.Application, late: Photo) -> Replay:
    """Tell of a photo that the same upload, sent again, has made while this one paused."""
    photo = await app[keys.PHOTOS].get(late.id)
    if photo.status is PhotoStatus.DELETED:
        await erase_bytes(photo.id, app[keys.BLOBS])  # which were just written once more
    return Replay(photo)


async def _dispatch(app: web.Application, photo: Photo) -> None:
    await app[keys.PUBLISHER].status(latest_event(photo), traceparent=photo.traceparent)
    await dispatch(photo, app[keys.PHOTOS], app[keys.PUBLISHER])


def new_photo(
    photo_id: str,
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
    waiting = {name: StageSlot() for name in pipeline}
    waiting[pipeline[0]] = StageSlot(queued_at=now)
    return Photo(
        id=photo_id,
        filename=form.filename,
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
        original=original_key(photo_id, form.filename),
        traceparent=traceparent,
        created_at=now,
        updated_at=now,
        moderation=awaiting(preset.gate),
        position=Position(stage=pipeline[0], status=StageStatus.PENDING, since=now),
        stages=waiting,
        timeline=(TimelineEntry(at=now, type=EventType.PHOTO_QUEUED),),
    )
