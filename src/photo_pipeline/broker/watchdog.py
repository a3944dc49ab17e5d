"""Noticing a consumer that is connected and gets nothing.

Of most that ends a consumer RabbitMQ tells its client, and the link begins again. What it does
not tell, or what the driver loses, shows only from outside: in the broker's own count of
consumers and of messages that wait, compared with what arrives here.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Never

import structlog

from photo_pipeline.broker.connection import Link
from photo_pipeline.broker.inspect import QueueCount, count
from photo_pipeline.errors import BrokerUnavailableError, ConsumerStuckError

log = structlog.get_logger()

LOOK_EVERY_S: Final = 5.0  # one passive declare: nothing to a broker, even for 200 processes
LOOKS: Final = 3
"""What all of them have in common is a fault: a single one may fall between a delivery that is
on its way and its arrival, or between a restart of the broker and a queue's new leader."""

MAX_REBUILDS: Final = 5
"""Without a single delivery in between a further one will not help either, but another process
may: the orchestrator starts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What a consumer knows of itself: its queue, all that has arrived, whether it takes more."""

    queue: str
    arrived: int
    free: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment, from both sides; no *seen* if RabbitMQ did not answer."""

    own: Vitals
    seen: QueueCount | None


def fault(looks: Sequence[Look]) -> str | None:
    """Return what is wrong with a consumer by its last LOOKS looks; None if nothing is."""
    if len(looks) < LOOKS:
        return None
    recent = looks[-LOOKS:]
    answers = [look.seen for look in recent if look.seen is not None]
    if not answers:
        return "RabbitMQ does not answer on this channel"
    if len(answers) < LOOKS or recent[0].own.arrived != recent[-1].own.arrived:
        return None
    if not any(seen.consumers for seen in answers):
        return "RabbitMQ knows of no consumer"
    if all(seen.ready for seen in answers) and all(look.own.free for look in recent):
        return "messages wait and none arrives"
    return None


class Watchdog:
    """Looks after one consumer on *link*; *vitals* tells None while it does not consume."""

    def __init__(self, link: Link, vitals: Callable[[], Vitals | None]) -> None:
        self._link = link
        self._vitals = vitals
        self._looks: deque[Look] = deque(maxlen=LOOKS)
        self._rebuilds = 0
        self._arrived = 0

    async def run(self) -> Never:
        """Look again and again, and rebuild the link of a consumer that is dead.

        Raises ConsumerStuckError when that has not helped MAX_REBUILDS times in a row.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._look()
            if (reason := fault(tuple(self._looks))) is not None:
                self._rebuild(reason)

    async def _look(self) -> None:
        own = self._vitals()
        try:
            await self._link.check()
        except BrokerUnavailableError:
            own = None  # the link is at it already
        if own is None:
            self._looks.clear()
            return
        if own.arrived != self._arrived:
            self._arrived, self._rebuilds = own.arrived, 0
        seen = None
        try:
            seen = (await count(self._link, [own.queue]))[own.queue]
        except BrokerUnavailableError as error:
            log.debug("consumer.not_seen", queue=own.queue, error=error.message)
        self._looks.append(Look(own, seen))

    def _rebuild(self, reason: str) -> None:
        queue = self._looks[-1].own.queue
        self._looks.clear()
        self._rebuilds += 1
        if self._rebuilds > MAX_REBUILDS:
            raise ConsumerStuckError(f"{queue}: {reason}, after {MAX_REBUILDS} new connections")
        log.error("consumer.dead", queue=queue, reason=reason, rebuilds=self._rebuilds)
        self._link.rebuild()
