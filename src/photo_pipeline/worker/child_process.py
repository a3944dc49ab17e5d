"""One child process of the sandbox, as its parent holds it: start, call, kill."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import structlog

from photo_pipeline.domain.origin import bounded
from photo_pipeline.errors import (
    BadInputError,
    DecoderCrashedError,
    MemoryLimitError,
    Origin,
    PhotoPipelineError,
    UnexpectedError,
    error_class,
)
from photo_pipeline.settings import PREFIX, WorkSettings
from photo_pipeline.worker.child import LENGTH, frame

log = structlog.get_logger()

MAX_HEADER_BYTES: Final = 4 * 1024 * 1024  # facts are small; the pictures are not in it
START_TIMEOUT_S: Final = 60.0  # importing and warming models on a loaded machine
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1"}
"""For numpy: a child is one slot, and its products are so small that threads only spin."""
PIPE_BUFFER_BYTES: Final = 4 * 1024 * 1024  # a rendition in one piece


_TOLD_BY_A_STAGE: Final = (BadInputError, MemoryLimitError, UnexpectedError)


class Child:
    """One running child process."""

    def __init__(self, process: asyncio.subprocess.Process, memory_bytes: int) -> None:
        self._process = process
        self._memory_bytes = memory_bytes

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def call(
        self, header: Mapping[str, Any], blobs: list[bytes]
    ) -> tuple[Mapping[str, Any], list[bytes]]:
        """Send a request and return the answer; raise what it refuses with, or how it died."""
        assert self._process.stdin is not None  # noqa: S101  # opened as a pipe
        with suppress(ConnectionError):  # it died: reading tells
            self._process.stdin.writelines(frame(header, blobs))
            await self._process.stdin.drain()
        reply, data = await self.receive()
        if failure := reply.get("error"):
            raise _error(failure)
        return reply, data

    async def receive(self) -> tuple[Mapping[str, Any], list[bytes]]:
        """Return the next frame that it sends; raise DecoderCrashedError without one."""
        reader = self._process.stdout
        assert reader is not None  # noqa: S101  # opened as a pipe
        try:
            (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            if length > MAX_HEADER_BYTES:
                raise DecoderCrashedError("the sandbox answered with nonsense")
            header = json.loads(await reader.readexactly(length))
            sizes = [int(size) for size in header["sizes"]]
            if min(sizes, default=0) < 0 or sum(sizes) > self._memory_bytes:
                raise DecoderCrashedError("the sandbox answered with more than it can hold")
            return header, [await reader.readexactly(size) for size in sizes]
        except (ValueError, KeyError, TypeError) as error:
            raise DecoderCrashedError("the sandbox answered with nonsense") from error
        except (asyncio.IncompleteReadError, ConnectionError):
            raise DecoderCrashedError(_how_it_died(await self._process.wait())) from None

    async def kill(self) -> None:
        """End the child, whatever it is doing, and reap it."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


def _how_it_died(status: int) -> str:
    if status < 0:
        return f"the process that worked on this photo was killed by {signal.Signals(-status).name}"
    return f"the process that worked on this photo ended with status {status}"


def _error(failure: Mapping[str, Any]) -> PhotoPipelineError:
    cls = error_class(failure["code"])
    if cls is None or not issubclass(cls, _TOLD_BY_A_STAGE):
        cls = UnexpectedError  # its word decides about retries: it may not say just anything
    error = cls(failure["message"])
    error.origin = bounded(Origin(failure["type"], tuple(failure["frames"])))
    if failure["traceback"]:
        error.add_note(failure["traceback"])
    return error


async def start_child(stage: str, settings: WorkSettings) -> Child:
    """Start a child for *stage* and return it when it has warmed up."""
    # Its own environment carries no setting: the URLs in them are credentials.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)} | ONE_THREAD
    chosen = {"--object-model": settings.object_model, "--object-labels": settings.object_labels}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "photo_pipeline.worker.child",
        f"--stage={stage}",
        f"--memory-bytes={settings.stage_memory_bytes}",
        f"--max-pixels={settings.max_pixels}",
        *(f"{option}={path}" for option, path in chosen.items() if path is not None),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        start_new_session=True,  # a signal to our process group is not meant for it
        limit=PIPE_BUFFER_BYTES,
    )
    child = Child(process, settings.stage_memory_bytes)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await child.receive()
    except BaseException:
        await child.kill()
        raise
    log.debug("child.started", stage=stage, child_pid=child.pid)
    return child
