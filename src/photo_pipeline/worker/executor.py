"""The sandbox: runs a stage's transform in child processes, one photo at a time in each.

A child has a memory limit, none of the parent's connections and none of its secrets. One
that dies or exceeds its time costs an attempt of its photo only: the worker lives on, and a
new child is started at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.stage import Output
from photo_pipeline.errors import (
    DecoderCrashedError,
    MemoryLimitError,
    PhotoPipelineError,
    SandboxUnavailableError,
    StageTimeoutError,
)
from photo_pipeline.inference.object_model import use_object_model
from photo_pipeline.settings import WorkSettings
from photo_pipeline.worker.child import decode_output, decode_receipts
from photo_pipeline.worker.child_process import Child, start_child

T = TypeVar("T")


class Executor(Protocol):
    """Whatever can run the transform of a stage."""

    async def run(self, inputs: Mapping[str, bytes], parameters: Mapping[str, Any]) -> Output:
        """Return the output.

        Raises what the stage raised, DecoderCrashedError when its process died, and
        StageTimeoutError when it was not done in time.
        """


class Checker(Protocol):
    """Whatever can look again at what a stage once wrote."""

    async def check(
        self,
        inputs: Mapping[str, bytes],
        outputs: Mapping[str, bytes],
        parameters: Mapping[str, Any],
    ) -> Mapping[str, Receipt]:
        """Return a receipt for each of *outputs*, given what the stage read.

        Raises what ``Executor.run`` raises.
        """


class Sandbox:
    """A fixed number of child processes for one stage."""

    def __init__(self, stage: str, children: int, settings: WorkSettings) -> None:
        self._stage = stage
        self._settings = settings
        self._slots: asyncio.Queue[asyncio.Task[Child]] = asyncio.Queue()
        self._tasks = [self._start() for _ in range(children)]
        self._endings: set[asyncio.Task[None]] = set()
        for task in self._tasks:
            self._slots.put_nowait(task)

    def _start(self) -> asyncio.Task[Child]:
        return asyncio.create_task(start_child(self._stage, self._settings))

    async def ready(self) -> None:
        """Wait until every child has warmed up; raise if one cannot."""
        await asyncio.gather(*(asyncio.shield(task) for task in self._tasks))

    async def run(self, inputs: Mapping[str, bytes], parameters: Mapping[str, Any]) -> Output:
        header = {"inputs": list(inputs), "parameters": parameters}
        return await self._call(header, list(inputs.values()), decode_output)

    async def check(
        self,
        inputs: Mapping[str, bytes],
        outputs: Mapping[str, bytes],
        parameters: Mapping[str, Any],
    ) -> Mapping[str, Receipt]:
        header = {"inputs": list(inputs), "outputs": list(outputs), "parameters": parameters}
        blobs = [*inputs.values(), *outputs.values()]
        return await self._call(header, blobs, lambda reply, _: decode_receipts(reply))

    async def _call(
        self,
        header: Mapping[str, Any],
        blobs: list[bytes],
        decode: Callable[[Mapping[str, Any], list[bytes]], T],
    ) -> T:
        slot, child = await self._living_child()
        lost = True
        try:
            async with asyncio.timeout(self._settings.stage_timeout_s):
                result = decode(*await child.call(header, blobs))
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
        return result

    async def _living_child(self) -> tuple[asyncio.Task[Child], Child]:
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

    def _give_back(self, slot: asyncio.Task[Child], *, lost: bool) -> None:
        self._slots.put_nowait(self._replace(slot) if lost else slot)

    def _replace(self, slot: asyncio.Task[Child]) -> asyncio.Task[Child]:
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


async def _end(slot: asyncio.Task[Child]) -> None:
    slot.cancel()
    try:
        child = await slot
    except (asyncio.CancelledError, PhotoPipelineError, OSError):
        return  # it never came up
    await child.kill()


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
