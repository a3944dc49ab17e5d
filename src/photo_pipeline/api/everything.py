"""Following all photos: a snapshot or what was missed, then every change of every photo."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

from photo_pipeline.api.following import Frame, event_frame
from photo_pipeline.api.frames import SnapshotOfAll
from photo_pipeline.api.hub import OVERLAP, SWEEP_S, Inbox, Lagging
from photo_pipeline.domain.messages import status_events
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.domain.summary import summary
from photo_pipeline.errors import InvalidRequestError
from photo_pipeline.storage.photos import Photos, Selection

LONGEST_REPLAY: Final = timedelta(hours=1)
RESUME_OVERLAP: Final = OVERLAP + 2 * timedelta(seconds=SWEEP_S)
"""How much older than the newest frame that a client has seen a change may be that it has not:
one with a lost hint waits for a sweep."""

SNAPSHOT_PHOTOS: Final = 50
LISTED: Final = tuple(status for status in PhotoStatus if status is not PhotoStatus.DELETED)


def read_since(text: str | None) -> datetime | None:
    """Return the time (RFC 3339) from which a client goes on, None to begin with a snapshot.

    A snapshot is also for whom was away for longer than LONGEST_REPLAY: a browser would not
    learn why it was refused. Raises InvalidRequestError.
    """
    if text is None:
        return None
    try:
        since = datetime.fromisoformat(text.replace(" ", "+"))  # a "+" that was not escaped
    except ValueError:
        since = None
    if since is None or since.tzinfo is None:
        raise InvalidRequestError("since must be a time with its zone, as 2026-01-31T12:00:00Z")
    now = utc_now()
    if since < now - LONGEST_REPLAY:
        return None
    return min(since, now).astimezone(UTC)


async def all_frames(photos: Photos, inbox: Inbox, since: datetime | None) -> AsyncIterator[Frame]:
    """Yield a snapshot of the newest photos, or what happened *since*; then what follows.

    A photo that has changed *since* is told from its first revision on: a client that is cut
    amid that, and goes on from the newest time it has seen, misses nothing. Raises Lagging
    when the client has not kept up.
    """
    known: dict[str, int] = {}
    if since is None:
        at = utc_now()
        newest = await photos.page(Selection(statuses=LISTED), SNAPSHOT_PHOTOS)
        known = {photo.id: photo.revision for photo in newest}
        yield _snapshot(at, newest)
    else:
        async for photo in photos.changed_since(since - RESUME_OVERLAP):
            for event in status_events(photo, known.get(photo.id, 0)):
                yield event_frame(event)
            known[photo.id] = photo.revision
    while (event_ := await inbox.get()) is not None:
        if event_.revision > known.get(event_.photo_id, 0):
            yield event_frame(event_)
    raise Lagging


def _snapshot(at: datetime, photos: list[Photo]) -> Frame:
    frame = SnapshotOfAll(at=at, photos=[summary(photo) for photo in photos])
    return Frame(0, frame.model_dump_json())
