"""Waiting for a fact with a deadline, instead of sleeping and hoping."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_S = 60.0
"""Many times what anything here takes, so that a busy machine is no failure."""


async def until(
    fact: Callable[[], Awaitable[T]], *, within_s: float = DEADLINE_S, every_s: float = 0.05
) -> T:
    """Return the first true answer of *fact*; fail when there is none in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        answer = await fact()
        if answer:
            return answer
        if loop.time() > deadline:
            raise AssertionError(f"not true within {within_s} s: {fact}, last answer: {answer!r}")
        await asyncio.sleep(every_s)
