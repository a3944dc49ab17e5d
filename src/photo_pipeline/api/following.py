"""Following one photo: its changes as frames, in order, complete and once.

Subscribe first, then read the document, then forward by revision, and read the document
again whenever there is a gap: so it does not matter which replica serves and what hints
were lost.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from photo_pipeline.api.feed import Inbox
from photo_pipeline.api.frames import Snapshot
from photo_pipeline.domain.document import status_document
from photo_pipeline.domain.messages import StatusEvent, status_events
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import TERMINAL
from photo_pipeline.errors import InvalidRequestError
from photo_pipeline.storage.photos import Photos

HEARTBEAT_S: Final = 20.0
SEND_TIMEOUT_S: Final = 10.0  # a client that takes no frame for this long resumes when it can
LOOK_AGAIN_S: Final = 2.0  # how late a change arrives whose hint was lost
_REVISION_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Frame:
    """One text of the stream, and the revision that a client has reached with it."""

    revision: int
    text: str


def event_frame(event: StatusEvent) -> Frame:
    """Return the frame that tells one change."""
    return Frame(event.revision, event.encode().decode())


def snapshot_frame(photo: Photo) -> Frame:
    """Return the first frame of a stream that does not resume."""
    frame = Snapshot(photo_id=photo.id, revision=photo.revision, photo=status_document(photo))
    return Frame(photo.revision, frame.model_dump_json())


def read_revision(text: str | None, what: str) -> int | None:
    """Return the revision that a client has seen, or raise InvalidRequestError."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _REVISION_DIGITS):
        raise InvalidRequestError(f"{what} must be a revision number")
    return int(text)


def check_since(photo: Photo, since: int | None) -> None:
    """Raise InvalidRequestError when *since* lies ahead of the photo."""
    if since is not None and since > photo.revision:
        raise InvalidRequestError(f"since is beyond the photo's revision {photo.revision}")


async def frames(
    photos: Photos,
    inbox: Inbox,
    photo_id: str,
    since: int | None,
    gone: Callable[[], bool] = lambda: False,
) -> AsyncIterator[Frame]:
    """Yield every frame in order until the photo has reached its end, or the client is *gone*."""
    photo = await photos.get(photo_id)
    if since is None:
        yield snapshot_frame(photo)
        seen = photo.revision
    else:
        seen = since
        for event in status_events(photo, since):
            yield event_frame(event)
            seen = event.revision
    ended = photo.status in TERMINAL
    while not ended and not gone():
        hint = await next_look(inbox, LOOK_AGAIN_S)
        if hint is not None and hint.revision <= seen:
            continue
        if hint is not None and hint.revision == seen + 1:
            events = [hint]
        else:
            events = status_events(await photos.get(photo_id), seen)
        for event in events:
            yield event_frame(event)
            seen = event.revision
            ended = event.ends_photo


async def next_look(inbox: Inbox, timeout_s: float) -> StatusEvent | None:
    """Return the next hint, or None after a while: then it is time to look unasked."""
    with suppress(TimeoutError):
        async with asyncio.timeout(min(timeout_s, LOOK_AGAIN_S)):
            return await inbox.get()
    return None
