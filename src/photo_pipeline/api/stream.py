"""The status stream over WebSockets (RFC 6455): of one photo, and of all."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import structlog
from aiohttp import WSCloseCode, web

from photo_pipeline.api import keys
from photo_pipeline.api.everything import all_frames, read_since
from photo_pipeline.api.following import (
    HEARTBEAT_S,
    SEND_TIMEOUT_S,
    Frame,
    check_since,
    frames,
    read_revision,
)
from photo_pipeline.api.hub import Lagging
from photo_pipeline.errors import RetryableError

log = structlog.get_logger()

CLOSE_TIMEOUT_S: Final = 5.0  # for a client to take what was sent before, and the close frame
LONGEST_MESSAGE_BYTES: Final = 4096  # a client has nothing to say; its library may


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
    # Not compressed: the frames are short, and a compressor takes 256 KiB for each client.
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_S, compress=False, max_msg_size=LONGEST_MESSAGE_BYTES
    )
    await socket.prepare(request)
    tasks = [
        asyncio.create_task(_send(request, socket, frames_)),
        asyncio.create_task(_leave(request, socket)),
    ]
    try:
        # Reading answers pings and notices that the client has gone.
        async for _ in socket:
            continue
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        transport = request.transport
        if transport is not None and socket.close_code == WSCloseCode.ABNORMAL_CLOSURE:
            transport.abort()
    return socket


async def _send(
    request: web.Request, socket: web.WebSocketResponse, frames_: AsyncIterator[Frame]
) -> None:
    code, reason = WSCloseCode.OK, ""
    try:
        async for frame in frames_:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await socket.send_str(frame.text)
    except (TimeoutError, Lagging):
        code, reason = WSCloseCode.TRY_AGAIN_LATER, "too slow; resume with since"
    except RetryableError as error:
        code, reason = WSCloseCode.TRY_AGAIN_LATER, error.code
    except ConnectionError as error:
        log.debug("stream.gone", error=str(error))
        return
    except Exception as error:
        log.exception("stream.failed", error=str(error))
        code = WSCloseCode.INTERNAL_ERROR
    await _close(request, socket, code, reason)


async def _leave(request: web.Request, socket: web.WebSocketResponse) -> None:
    """Tell the client when this replica goes away; it resumes at another one."""
    await request.app[keys.STOPPING].wait()
    await _close(request, socket, WSCloseCode.GOING_AWAY, "resume with since")


async def _close(
    request: web.Request, socket: web.WebSocketResponse, code: WSCloseCode, reason: str
) -> None:
    log.debug("stream.closing", code=int(code), reason=reason)
    if (transport := request.transport) is not None:
        # One that is merely closed keeps what the client does not take, for ever.
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, transport.abort)
    await socket.close(code=code, message=reason.encode(), drain=False)
