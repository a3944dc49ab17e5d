"""Carrying out the faults of a plan, and mending after each."""

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from photo_pipeline.embedded.launcher import EmbeddedServers
from photo_pipeline.errors import EmbeddedServerError
from photo_pipeline.soak import plan
from photo_pipeline.soak.fleet import RoleProcess
from photo_pipeline.soak.plan import Action, Fault

DISCONNECT_REASON: Final = "soak"
RECOVERY_S: Final = 30.0
"""How long a server may at most be spared after a fault, until photos move again: on a slow machine
it would otherwise be killed in its boot every time, and there would be no work to lose."""
MOVED: Final = 5  # photos that have reached their end since
POLL_S: Final = 0.5


class _Server(Protocol):
    """What can be done to a private server."""

    @property
    def pid(self) -> int: ...
    async def start(self) -> None: ...
    async def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Done:
    """A fault that befell, and when it really began and was over, in seconds into the load."""

    fault: Fault
    began_s: float
    over_s: float


@dataclass(frozen=True, slots=True)
class Faults:
    """Does to servers and role processes what a plan says; ``done`` tells what has been done.

    ``ended`` tells how many photos have reached their end so far.
    """

    servers: EmbeddedServers
    fleet: Mapping[str, RoleProcess]
    tell: Callable[[str], None]
    ended: Callable[[], int]
    done: list[Done] = field(default_factory=list)
    _locks: Mapping[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def commit_all(self, faults: Sequence[Fault]) -> None:
        """Do each fault when it is due, from now on, and return when all are over."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(began + fault.at_s - loop.time())
                group.create_task(self._commit(fault, began))

    async def _commit(self, fault: Fault, began: float) -> None:
        """Do one fault and return when it is over.

        Faults of one target wait for each other: a server that takes long to be back is not
        killed meanwhile. Raises EmbeddedServerError when a server does not come back.
        """
        async with self._locks[fault.target]:
            loop = asyncio.get_running_loop()
            at_s = loop.time() - began
            self.tell(str(fault))
            match fault.target:
                case plan.BROKER:
                    await self._on_broker(fault)
                case plan.MONGO:
                    await _on_server(self.servers.mongod, fault)
                case name:
                    await _on_worker(self.fleet[name], fault)
            self.done.append(Done(fault, round(at_s, 1), round(loop.time() - began, 1)))
            if fault.target in (plan.BROKER, plan.MONGO):
                await self._until_photos_move()

    async def _until_photos_move(self) -> None:
        before = self.ended()
        with suppress(TimeoutError):
            async with asyncio.timeout(RECOVERY_S):
                while self.ended() < before + MOVED:  # noqa: ASYNC110  # counted elsewhere
                    await asyncio.sleep(POLL_S)

    async def _on_broker(self, fault: Fault) -> None:
        broker = self.servers.rabbitmq
        if fault.action is not Action.DISCONNECT:
            await _on_server(broker, fault)
            return
        # A connection that ends by itself meanwhile makes the tool fail; the others are closed.
        with suppress(EmbeddedServerError):
            await broker.rabbitmqctl("close_all_connections", DISCONNECT_REASON)


async def _on_worker(process: RoleProcess, fault: Fault) -> None:
    if fault.action is Action.KILL:
        process.kill()
    else:
        await process.stall(fault.for_s)


async def _on_server(server: _Server, fault: Fault) -> None:
    if fault.action is Action.KILL:
        await server.kill()
        await asyncio.sleep(fault.for_s)
        await server.start()
        return
    async with _stopped(server.pid):
        await asyncio.sleep(fault.for_s)


@asynccontextmanager
async def _stopped(pid: int) -> AsyncIterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
