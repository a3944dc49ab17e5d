"""``GET /events/{id}``: the status stream as Server-Sent Events (WHATWG HTML, 9.2).

For where proxies let no WebSocket through. A browser's EventSource resumes by itself, with
the revision of the last frame in ``Last-Event-ID``.
"""

from typing import Final

import structlog
from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from photo_pipeline.api import keys
from photo_pipeline.api.following import (
    HEARTBEAT_S,
    SEND_TIMEOUT_S,
    check_since,
    frames,
    read_revision,
)
from photo_pipeline.domain.status import TERMINAL
from photo_pipeline.errors import RetryableError

log = structlog.get_logger()

LAST_EVENT_ID: Final = "Last-Event-ID"
RECONNECT_MS: Final = 1000


async def get_events(request: web.Request) -> web.StreamResponse:
    """Stream the photo's changes; goes on after ``Last-Event-ID``, else after ``?since=REV``.

    Answers 204, at which an EventSource stops asking, when the client has seen the end.
    It also stops at any other status but 200; so while the store does not answer, a client
    that resumes gets an empty stream and comes again.
    """
    photo_id = request.match_info["id"]
    # The header is newer: a browser repeats the URL it began with at every reconnect.
    last = request.headers.get(LAST_EVENT_ID) or None
    since = read_revision(last, LAST_EVENT_ID)
    if since is None:
        since = read_revision(request.query.get("since"), "since")
    try:
        photo = await request.app[keys.PHOTOS].get(photo_id)
    except RetryableError:
        if last is None:
            raise
    else:
        check_since(photo, since)
        if since == photo.revision and photo.status in TERMINAL:
            return web.Response(status=204)
    async with sse_response(
        request, sep="\n", ping_interval=HEARTBEAT_S, send_timeout=SEND_TIMEOUT_S
    ) as response:
        await response.write(f"retry: {RECONNECT_MS}\n\n".encode())
        await _send(request, response, photo_id, since)
    return response


async def _send(
    request: web.Request, response: EventSourceResponse, photo_id: str, since: int | None
) -> None:
    app = request.app

    def gone() -> bool:
        return app[keys.STOPPING].is_set() or request.transport is None

    try:
        with app[keys.FEED].following(photo_id) as inbox:
            async for frame in frames(app[keys.PHOTOS], inbox, photo_id, since, gone):
                await response.send(frame.text, id=str(frame.revision))
    except (TimeoutError, ConnectionError) as error:
        log.debug("stream.gone", error=str(error) or type(error).__name__)
    except RetryableError as error:
        # Headers are out: ending the answer makes the client come again after RECONNECT_MS.
        log.warning("stream.interrupted", code=error.code, error=error.message)
    except Exception as error:
        log.exception("stream.failed", error=str(error))
