"""Reconcile: put right what a crash or an outage left half done.

Several replicas may run: every chore tolerates that another one does the same, at worst a
message is sent twice, which a stage tolerates too.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from photo_pipeline.errors import RetryableError
from photo_pipeline.pauses import stopped_within

log = structlog.get_logger()

INDEXING_AGAIN_S: Final = 2.0
SPREAD: Final = (0.75, 1.25)  # of the time between two rounds of a chore


class Indexed(Protocol):
    """A store that has indexes."""

    async def ensure_indexes(self) -> None:
        """Create them; idempotent. May raise a RetryableError."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to see to every *every_s* seconds.

    ``do`` gets the stop event, returns how much it has put right, and may raise a
    RetryableError when a server is away.
    """

    name: str
    every_s: float
    do: Callable[[asyncio.Event], Awaitable[int]]


async def reconcile(
    chores: Sequence[Chore], stop: asyncio.Event, *, indexed: Sequence[Indexed]
) -> None:
    """Do the *chores* beside each other until *stop*; see to the indexes of *indexed* as well."""
    async with asyncio.TaskGroup() as group:
        indexing = [group.create_task(_ensure_indexes(store)) for store in indexed]
        for chore in chores:
            group.create_task(_repeat(chore, stop))
        await stop.wait()
        for task in indexing:
            task.cancel()


async def _repeat(chore: Chore, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            if done := await chore.do(stop):
                log.info("reconcile.done", chore=chore.name, photos=done)
        except RetryableError as error:
            log.warning(
                "reconcile.interrupted", chore=chore.name, code=error.code, error=error.message
            )
        except Exception as error:
            # One document that nobody foresaw must not end the role, and with it the process.
            log.exception("reconcile.failed", chore=chore.name, error=str(error))
        # Spread, so that replicas that began together do not stay together.
        await stopped_within(stop, chore.every_s * random.uniform(*SPREAD))  # noqa: S311  # no secret


async def _ensure_indexes(store: Indexed) -> None:
    """Create the indexes beside the work, which on a large collection takes its time."""
    while True:
        try:
            return await store.ensure_indexes()
        except RetryableError as error:
            log.warning("reconcile.not_indexed", error=error.message)
        await asyncio.sleep(INDEXING_AGAIN_S)
