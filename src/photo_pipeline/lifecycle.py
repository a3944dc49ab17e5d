"""Stopping: signals become one event, a second one forces the end; what must not end ends all."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Never

import structlog

log = structlog.get_logger()

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SIGNAL_EXIT_BASE: Final = 128  # a shell's convention: 128 + number of the signal


@contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """Yield an event that SIGINT or SIGTERM sets; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(_SIGNAL_EXIT_BASE + number)
        stop.set()  # first: even a log that cannot be written must not keep us from stopping
        log.info("process.stopping", signal=number.name)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, Never]) -> AsyncIterator[None]:
    """Run *work*, which never ends by itself, for as long as the block runs.

    Should it fail, the block is cancelled and its error raised, as it is: a process that has
    lost a part of itself must not look alive.
    """
    block = asyncio.current_task()
    assert block is not None  # noqa: S101  # a coroutine always runs in a task

    def end_the_block(done: asyncio.Task[Never]) -> None:
        if not done.cancelled():
            block.cancel()

    task = asyncio.create_task(work)
    task.add_done_callback(end_the_block)
    try:
        yield
    except asyncio.CancelledError:
        if task.done() and not task.cancelled() and block.uncancel() == 0:
            task.result()
        raise
    finally:
        task.remove_done_callback(end_the_block)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
