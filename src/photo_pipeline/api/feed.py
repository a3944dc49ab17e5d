"""The feed: hints about changed photos, handed to whoever follows them in this process.

A hint says where to look; the status document is the truth. So a full inbox may drop hints,
and a reader that sees a gap, or nothing for a while, reads the document.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from photo_pipeline.domain.messages import StatusEvent
from photo_pipeline.errors import MalformedMessageError

log = structlog.get_logger()

_INBOX: Final = 64  # hints; a photo has about ten, the rest is for bursts of retries

Inbox = asyncio.Queue[StatusEvent]


class Feed:
    """Who follows which photo; *listeners* are told of every hint."""

    def __init__(self, *listeners: Callable[[StatusEvent], None]) -> None:
        self._listeners = listeners
        self._followers: defaultdict[str, set[Inbox]] = defaultdict(set)

    @contextmanager
    def following(self, photo_id: str) -> Iterator[Inbox]:
        """Yield the inbox for hints about one photo."""
        inbox: Inbox = asyncio.Queue(_INBOX)
        followers = self._followers[photo_id]
        followers.add(inbox)
        try:
            yield inbox
        finally:
            followers.discard(inbox)
            if not followers:
                self._followers.pop(photo_id, None)

    def on_body(self, body: bytes) -> None:
        """Hand the hint in *body* to the followers of its photo."""
        try:
            event = StatusEvent.decode(body)
        except MalformedMessageError as error:
            log.warning("feed.malformed", error=error.message)
            return
        for listener in self._listeners:
            listener(event)
        for inbox in self._followers.get(event.photo_id, ()):
            if inbox.full():
                inbox.get_nowait()
            inbox.put_nowait(event)
