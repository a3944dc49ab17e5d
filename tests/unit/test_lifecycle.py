"""A part of a process that ends takes the process with it."""

import asyncio
from typing import Never

import pytest

from photo_pipeline.lifecycle import beside


async def _fail() -> Never:
    raise ZeroDivisionError


async def _go_on() -> Never:
    while True:
        await asyncio.sleep(3600)


async def test_a_block_ends_with_the_error_of_what_runs_beside_it() -> None:
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(10), beside(_fail()):
            await asyncio.Event().wait()
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_an_error_of_the_block_stays_what_it_is() -> None:
    with pytest.raises(OSError, match="port"):
        async with beside(_go_on()):
            raise OSError("port in use")


async def test_a_block_that_is_cancelled_is_cancelled() -> None:
    inside = asyncio.Event()

    async def block() -> None:
        async with beside(_go_on()):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_runs_beside_a_block_ends_with_it() -> None:
    ended = asyncio.Event()

    async def work() -> Never:
        try:
            await _go_on()
        finally:
            ended.set()

    async with beside(work()):
        await asyncio.sleep(0)
    assert ended.is_set()
