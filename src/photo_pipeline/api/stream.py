"""The status stream over WebSockets (RFC 6455): of one photo, and of all."""

import asyncio
from collections.abc import AsyncIterator

import structlog
from aiohttp import WSCloseCode, web

from photo_pipeline.api import keys
from photo_pipeline.api.everything import Lagging, all_frames, read_since
from photo_pipeline.api.following import (
    HEARTBEAT_S,
    SEND_TIMEOUT_S,
    Frame,
    check_since,
    frames,
    read_revision,
)
from photo_pipeline.errors import RetryableError

log = structlog.get_logger()


async def get_stream(request: web.Request) -> web.WebSocketResponse:
    """Stream the photo's changes; ``?since=REV`` goes on after a revision already seen."""
    photo_id = request.match_info["id"]
    since = read_revision(request.query.get("since"), "since")
    check_since(await request.app[keys.PHOTOS].get(photo_id), since)  # unknown: a plain 404
    with request.app[keys.FEED].following(photo_id) as inbox:
        return await _serve(request, frames(request.app[keys.PHOTOS], inbox, photo_id, since))


async def get_stream_of_all(request: web.Request) -> web.WebSocketResponse:
    """Stream the changes of every photo; ``?since=TIME`` goes on from a time already seen."""
    since = read_since(request.query.get("since"))
    with request.app[keys.HUB].following() as inbox:
        return await _serve(request, all_frames(request.app[keys.PHOTOS], inbox, since))


async def _serve(request: web.Request, frames_: AsyncIterator[Frame]) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S)
    await socket.prepare(request)
    streams = request.app[keys.STREAMS]
    streams.add(socket)
    try:
        await _send_until_closed(socket, frames_)
    finally:
        streams.discard(socket)
    return socket


async def _send_until_closed(socket: web.WebSocketResponse, frames_: AsyncIterator[Frame]) -> None:
    sending = asyncio.create_task(_send(socket, frames_))
    try:
        # Reading answers pings and notices that the client has gone.
        async for _ in socket:
            continue
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(socket: web.WebSocketResponse, frames_: AsyncIterator[Frame]) -> None:
    try:
        async for frame in frames_:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await socket.send_str(frame.text)
    except (TimeoutError, Lagging):
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


async def close_streams(app: web.Application) -> None:
    """Tell every client that this replica goes away; it resumes at another one."""
    streams = app[keys.STREAMS]
    await asyncio.gather(
        *(socket.close(code=WSCloseCode.GOING_AWAY) for socket in tuple(streams)),
        return_exceptions=True,
    )
