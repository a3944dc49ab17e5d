"""The sandbox: runs a stage's transform in child processes, one photo at a time in each.

A child has a memory limit, none of the parent's connections and none of its secrets. One
that dies or exceeds its time costs an attempt of its photo only: the worker lives on, and a
new child is started at once.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol

import structlog

from photo_pipeline.domain.origin import bounded
from photo_pipeline.domain.stage import Output
from photo_pipeline.errors import (
    BadInputError,
    DecoderCrashedError,
    MemoryLimitError,
    Origin,
    PhotoPipelineError,
    SandboxUnavailableError,
    StageTimeoutError,
    UnexpectedError,
    error_class,
)
from photo_pipeline.inference.object_model import use_object_model
from photo_pipeline.settings import PREFIX, WorkSettings
from photo_pipeline.worker.child import LENGTH, decode_output, frame

log = structlog.get_logger()

MAX_HEADER_BYTES: Final = 4 * 1024 * 1024  # facts are small; the pictures are not in it
START_TIMEOUT_S: Final = 60.0  # importing and warming models on a loaded machine
PIPE_BUFFER_BYTES: Final = 4 * 1024 * 1024  # a rendition in one piece

ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""A child works on one photo in one thread; else these libraries would set aside 32 MB of its
address space for every core of the machine as soon as they are imported."""

_TOLD_BY_A_STAGE: Final = (BadInputError, MemoryLimitError, UnexpectedError)


class Executor(Protocol):
    """Whatever can run the transform of a stage."""

    async def run(self, inputs: Mapping[str, bytes], parameters: Mapping[str, Any]) -> Output:
        """Return the output.

        Raises what the stage raised, DecoderCrashedError when its process died, and
        StageTimeoutError when it was not done in time.
        """


class _Child:
    """One running child process."""

    def __init__(self, process: asyncio.subprocess.Process, memory_bytes: int) -> None:
        self._process = process
        self._memory_bytes = memory_bytes

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def call(self, header: Mapping[str, Any], blobs: list[bytes]) -> Output:
        assert self._process.stdin is not None  # noqa: S101  # opened as a pipe
        with suppress(ConnectionError):  # it died: reading tells
            self._process.stdin.writelines(frame(header, blobs))
            await self._process.stdin.drain()
        reply, data = await self.receive()
        if failure := reply.get("error"):
            raise _error(failure)
        return decode_output(reply, data)

    async def receive(self) -> tuple[Mapping[str, Any], list[bytes]]:
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


class Sandbox:
    """A fixed number of child processes for one stage."""

    def __init__(self, stage: str, children: int, settings: WorkSettings) -> None:
        self._stage = stage
        self._settings = settings
        self._slots: asyncio.Queue[asyncio.Task[_Child]] = asyncio.Queue()
        self._tasks = [self._start() for _ in range(children)]
        self._endings: set[asyncio.Task[None]] = set()
        for task in self._tasks:
            self._slots.put_nowait(task)

    def _start(self) -> asyncio.Task[_Child]:
        return asyncio.create_task(_start_child(self._stage, self._settings))

    async def ready(self) -> None:
        """Wait until every child has warmed up; raise if one cannot."""
        await asyncio.gather(*(asyncio.shield(task) for task in self._tasks))

    async def run(self, inputs: Mapping[str, bytes], parameters: Mapping[str, Any]) -> Output:
        slot, child = await self._living_child()
        lost = True
        try:
            async with asyncio.timeout(self._settings.stage_timeout_s):
                output = await child.call(
                    {"inputs": list(inputs), "parameters": parameters}, list(inputs.values())
                )
            lost = False
        except TimeoutError:
            raise StageTimeoutError(
                f"not finished within {self._settings.stage_timeout_s:g} s"
            ) from None
        except (DecoderCrashedError, MemoryLimitError):
            raise  # after a memory error its address space is in pieces: a new child is better
        except PhotoPipelineError:
            lost = False  # the stage has refused the photo; the child is well
            raise
        finally:
            self._give_back(slot, lost=lost)
        return output

    async def _living_child(self) -> tuple[asyncio.Task[_Child], _Child]:
        """Take a slot and its child; one that died while it was idle is no photo's fault."""
        slot = await self._slots.get()
        try:
            child = await asyncio.shield(slot)
            if not child.alive:
                slot = self._replace(slot)
                child = await asyncio.shield(slot)
        except asyncio.CancelledError:
            self._slots.put_nowait(slot)
            raise
        except (PhotoPipelineError, OSError) as error:
            self._give_back(slot, lost=True)
            raise SandboxUnavailableError(f"no sandbox: {error}") from error
        return slot, child

    def _give_back(self, slot: asyncio.Task[_Child], *, lost: bool) -> None:
        self._slots.put_nowait(self._replace(slot) if lost else slot)

    def _replace(self, slot: asyncio.Task[_Child]) -> asyncio.Task[_Child]:
        """End the child of *slot* and start another one.

        Now rather than at the next photo, which so waits for one start at most.
        """
        self._tasks.remove(slot)
        ending = asyncio.create_task(_end(slot))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        new = self._start()
        self._tasks.append(new)
        return new

    async def close(self) -> None:
        """End every child."""
        await asyncio.gather(*self._endings, *(_end(task) for task in self._tasks))


async def _end(slot: asyncio.Task[_Child]) -> None:
    slot.cancel()
    try:
        child = await slot
    except (asyncio.CancelledError, PhotoPipelineError, OSError):
        return  # it never came up
    await child.kill()


async def _start_child(stage: str, settings: WorkSettings) -> _Child:
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
    child = _Child(process, settings.stage_memory_bytes)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await child.receive()
    except BaseException:
        await child.kill()
        raise
    log.debug("child.started", stage=stage, child_pid=child.pid)
    return child


@asynccontextmanager
async def sandbox(stage: str, settings: WorkSettings) -> AsyncIterator[Sandbox]:
    """Keep ``settings.concurrency`` warm children of *stage* for as long as the block runs."""
    # This process never looks, but says whether another look may find more.
    use_object_model(settings.object_model, settings.object_labels)
    pool = Sandbox(stage, settings.concurrency, settings)
    try:
        await pool.ready()
        yield pool
    finally:
        await pool.close()
