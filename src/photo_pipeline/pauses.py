"""Waiting: between tries, and for a stop."""

import asyncio
import random
from contextlib import suppress
from typing import Final

_MAX_DOUBLINGS: Final = 30  # far beyond any longest pause; 2.0**1024 is an OverflowError


def growing_s(tries: int, *, first_s: float, longest_s: float) -> float:
    """Return the pause after so many tries (from 1), in seconds.

    It doubles from *first_s* up to *longest_s*, so that a server which has come back in part is
    not overrun by those who wait for the rest; and is spread over the upper half of that, so
    that they do not all come in the same moment.
    """
    longest = min(longest_s, first_s * 2.0 ** min(tries - 1, _MAX_DOUBLINGS))
    return random.uniform(longest / 2, longest)  # noqa: S311  # spreads load, keeps no secret


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for *stop*, but not longer than *seconds*; say whether it is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()
