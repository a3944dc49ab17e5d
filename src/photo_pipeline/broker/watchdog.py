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


LONGEST_IDLE_S: Final = 300.0
"""Then it begins anew in any case, which costs a connection and, as nothing is in work, no photo.
RabbitMQ 3.10 has a state that nothing else gets out of: a queue that is deleted and declared again
within milliseconds keeps its consumers, by its own count, and what it hands them never comes out
of their channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What a consumer knows of itself: its queue, how many have arrived and are in work.

    ``free`` says whether it would take one more.
    """

    queue: str
    arrived: int
    in_work: int
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
        self._busy_at = 0.0

    async def run(self) -> Never:
        """Look again and again, and rebuild the link of a consumer that is dead.

        Raises ConsumerStuckError when that has not helped MAX_REBUILDS times in a row.
        """
        loop = asyncio.get_running_loop()
        self._busy_at = loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._look(loop.time())
            if (reason := fault(tuple(self._looks))) is not None:
                self._rebuild(reason)
            elif self._looks and loop.time() - self._busy_at > LONGEST_IDLE_S:
                self._busy_at = loop.time()
                self._looks.clear()
                self._link.rebuild(quietly=True)

    async def _look(self, now: float) -> None:
        own = self._vitals()
        try:
            await self._link.check()
        except BrokerUnavailableError:
            own = None  # the link is at it already
        if own is None:
            self._looks.clear()
            return
        if own.in_work or own.arrived != self._arrived:
            self._busy_at = now
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
