"""The role processes, each kept running as a supervisor would."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from photo_pipeline.domain.pipeline import PIPELINE
from photo_pipeline.embedded.launch import bound_to_us
from photo_pipeline.settings import PREFIX

RESTART_S: Final = 0.5  # a supervisor's shortest usual pause
GRACE_S: Final = 10  # of a role after SIGTERM; photos here take a fraction of a second
STOP_TIMEOUT_S: Final = GRACE_S + 5.0
REPLICAS: Final = 2  # one to be killed, and one that meanwhile gets what the other had


@dataclass(frozen=True, slots=True)
class Member:
    """A process of the fleet, and the roles that it runs."""

    name: str
    roles: str
    killable: bool = True


FLEET: Final[Sequence[Member]] = (
    *(
        Member(f"{role}-{number}", role)
        for role in ("api", *PIPELINE, "reconcile")
        for number in range(1, REPLICAS + 1)
    ),
    Member("subscribers", "subscribers", killable=False),
)
KILLABLE: Final = tuple(member.name for member in FLEET if member.killable)
"""What may be killed as a worker: whatever takes a photo from the upload to its outcome."""


class RoleProcess:
    """One ``python -m photo_pipeline --role …``, started again whenever it ends."""

    def __init__(self, member: Member, environment: Mapping[str, str], log: Path) -> None:
        self.name = member.name
        self.crashes: list[int] = []
        """The exit statuses with which it ended without being told or made to."""
        self._roles = member.roles
        self._environment = environment
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._killed = False
        self._stopping = False

    async def keep_running(self) -> None:
        """Start it again and again, until ``stop``; if cancelled, nothing of it is left."""
        try:
            while not self._stopping:
                self._killed = False
                self._process = await self._spawn()
                status = await self._process.wait()
                self._end_group(self._process.pid)
                await self._note(status)
        finally:
            if self._process is not None:
                self._end_group(self._process.pid)

    async def _note(self, status: int) -> None:
        """Wait as a supervisor does before the next start."""
        if self._stopping:
            return
        if not self._killed:
            self.crashes.append(status)
        await asyncio.sleep(RESTART_S)

    def kill(self) -> None:
        """End it as the kernel's out-of-memory killer would."""
        self._killed = True
        self._signal(signal.SIGKILL)

    async def stall(self, seconds: float) -> None:
        """Let it do nothing for *seconds*, while all its connections stay."""
        process = self._process
        self._signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            if process is self._process:
                self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        """Let it finish what it has in hand; by force when that takes too long."""
        self._stopping = True
        self._signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                if self._process is not None:
                    await self._process.wait()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _end_group(self, pid: int) -> None:
        # Children of a role end with it; whatever has not must not outlive the soak.
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *bound_to_us([sys.executable, "-m", "photo_pipeline", "--role", self._roles]),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # ^C in a terminal is for the soak alone
            )


def role_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with *settings* in the place of all of the pipeline's."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**own, **settings}
