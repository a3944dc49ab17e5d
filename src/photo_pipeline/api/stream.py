"""``GET /ws/{id}``: the status stream of one photo over a WebSocket (RFC 6455).

Subscribe first, then read the document, then forward by revision, and read the document
again whenever there is a gap: so revisions arrive in order, complete and once, whichever
replica serves and whatever hints were lost.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import structlog
from aiohttp import WSCloseCode, web

from photo_pipeline.api import keys
from photo_pipeline.api.feed import Inbox
from photo_pipeline.api.frames import Snapshot
from photo_pipeline.domain.document import status_document
from photo_pipeline.domain.messages import StatusEvent, status_events
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import TERMINAL
from photo_pipeline.errors import InvalidRequestError, RetryableError
from photo_pipeline.storage.photos import Photos

log = structlog.get_logger()

HEARTBEAT_S: Final = 20.0
SEND_TIMEOUT_S: Final = 10.0  # a client that takes no frame for this long is closed with 1013
_REVISION_DIGITS: Final = 9
LOOK_AGAIN_S: Final = 2.0  # how late a change arrives whose hint was lost


async def get_stream(request: web.Request) -> web.WebSocketResponse:
    """Stream the photo's changes; ``?since=REV`` goes on after a revision already seen."""
    photo_id = request.match_info["id"]
    since = _since(request)
    photo = await request.app[keys.PHOTOS].get(photo_id)  # an unknown id is a plain 404
    if since is not None and since > photo.revision:
        raise InvalidRequestError(f"since is beyond the photo's revision {photo.revision}")
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S)
    await socket.prepare(request)
    streams = request.app[keys.STREAMS]
    streams.add(socket)
    try:
        with request.app[keys.FEED].following(photo_id) as inbox:
            frames = _frames(request.app[keys.PHOTOS], inbox, photo_id, since)
            await _send_until_closed(socket, frames)
    finally:
        streams.discard(socket)
    return socket


def _since(request: web.Request) -> int | None:
    value = request.query.get("since")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= _REVISION_DIGITS):
        raise InvalidRequestError("since must be a revision number")
    return int(value)


async def _send_until_closed(socket: web.WebSocketResponse, frames: AsyncIterator[str]) -> None:
    sending = asyncio.create_task(_send(socket, frames))
    try:
        # Reading answers pings and notices that the client has gone.
        async for _ in socket:
            continue
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(socket: web.WebSocketResponse, frames: AsyncIterator[str]) -> None:
    try:
        async for frame in frames:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await socket.send_str(frame)
    except TimeoutError:
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow; resume with since")
    except RetryableError as error:
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=error.code.encode())
    except ConnectionError as error:
        log.debug("stream.gone", error=str(error))
    except Exception as error:
        log.exception("stream.failed", error=str(error))
        await socket.close(code=WSCloseCode.INTERNAL_ERROR)
    else:
        await socket.close(code=WSCloseCode.OK)


async def _frames(
    photos: Photos, inbox: Inbox, photo_id: str, since: int | None
) -> AsyncIterator[str]:
    """Yield every frame in order until the photo has reached its end."""
    photo = await photos.get(photo_id)
    if since is None:
        yield snapshot(photo)
        seen = photo.revision
    else:
        seen = since
        for event in status_events(photo, since):
            yield event.encode().decode()
            seen = event.revision
    ended = photo.status in TERMINAL
    while not ended:
        hint = await next_look(inbox, LOOK_AGAIN_S)
        if hint is not None and hint.revision <= seen:
            continue
        if hint is not None and hint.revision == seen + 1:
            events = [hint]
        else:
            events = status_events(await photos.get(photo_id), seen)
        for event in events:
            yield event.encode().decode()
            seen = event.revision
            ended = event.ends_photo


async def next_look(inbox: Inbox, timeout_s: float) -> StatusEvent | None:
    """Return the next hint, or None after a while: then it is time to look unasked."""
    with suppress(TimeoutError):
        async with asyncio.timeout(min(timeout_s, LOOK_AGAIN_S)):
            return await inbox.get()
    return None


def snapshot(photo: Photo) -> str:
    """Return the first frame of a stream."""
    frame = Snapshot(photo_id=photo.id, revision=photo.revision, photo=status_document(photo))
    return frame.model_dump_json()


async def close_streams(app: web.Application) -> None:
    """Tell every client that this replica goes away; it resumes at another one."""
    streams = app[keys.STREAMS]
    await asyncio.gather(
        *(socket.close(code=WSCloseCode.GOING_AWAY) for socket in tuple(streams)),
        return_exceptions=True,
    )
