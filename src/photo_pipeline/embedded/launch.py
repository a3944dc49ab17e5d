"""How one server is started: its command and folder, and what its failed start leaves to read."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from photo_pipeline.errors import EmbeddedServerError

COMPLAINT = re.compile(r'"s":"[EF]"')  # mongod's levels error and fatal
CANNOT_RUN = 127  # the status of a program that is missing or lacks a library
LOG_LINES = 12  # enough for RabbitMQ's boot failure with its reason
LOG_LINE_CHARACTERS = 400  # mongod writes JSON lines of any length


@dataclass(frozen=True, slots=True)
class Launch:
    """How one server is started.

    ``folder``, an absolute path, is its working directory; ``database`` lies inside. ``answers``
    says whether the server speaks its protocol on its port, the first of ``listens_on``. ``needs``
    names what its program does not run without.
    """

    name: str
    url: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    database: Path
    log: Path
    needs: str
    listens_on: Sequence[int]
    answers: Callable[[], Awaitable[bool]]

    @property
    def output(self) -> Path:
        """What this start of the server printed."""
        return self.folder / "output.txt"

    @property
    def pid_file(self) -> Path:
        """The pid of the server that was started last in this folder."""
        return self.folder / "server.pid"

    @property
    def unfinished(self) -> Path:
        """Exists from the first start until the server has served for the first time."""
        return self.folder / "first-start-unfinished"


def base_environment(*search: Path) -> dict[str, str]:
    """Return the few variables that a server gets from this process.

    Everything else stays out: variables for another broker (``RABBITMQ_*``, ``ERL_*``) would
    leak into ours, and our own settings hold passwords. *search* leads the PATH.
    """
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "TZ") if name in os.environ}
    own = os.environ.get("PATH", os.defpath)
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return kept | {"PATH": ":".join([*map(str, search), own, system]), "LANG": "C.UTF-8"}


def prepare(launch: Launch) -> int:
    """Clear what a first start that never finished left; return the size of the log so far.

    Raises EmbeddedServerError when the folder cannot be written.
    """
    try:
        if launch.unfinished.exists():
            # It never served, so nobody has stored anything in it; half made it may not open.
            shutil.rmtree(launch.database, ignore_errors=True)
        if not launch.database.exists():
            launch.unfinished.touch()
            launch.database.mkdir()
        return launch.log.stat().st_size if launch.log.exists() else 0
    except OSError as error:
        raise EmbeddedServerError(f"cannot use the data folder: {error}") from error


async def spawn(launch: Launch) -> asyncio.subprocess.Process:
    """Start the process in a session of its own, so that ^C in a terminal does not reach it.

    Raises EmbeddedServerError when the program cannot be run.
    """
    try:
        with _output(launch) as output:
            return await asyncio.create_subprocess_exec(
                *bound_to_us(launch.command),
                env=launch.environment,
                cwd=launch.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise EmbeddedServerError(f"cannot run {launch.command[0]}: {error}") from error


def bound_to_us(command: Sequence[str]) -> list[str]:
    """Return *command* as what runs it for as long as this process at most, where possible.

    The kernel kills it when the thread that spawned it ends: with the event loop in the main
    thread, when this process ends, even by SIGKILL.
    """
    setpriv = shutil.which("setpriv")
    return list(command) if setpriv is None else [setpriv, "--pdeathsig", "KILL", "--", *command]


def failure(launch: Launch, what: str, log_from: int) -> EmbeddedServerError:
    """Return an error that quotes what the server said since this start."""
    said = b""
    with contextlib.suppress(OSError), launch.log.open("rb") as log:
        log.seek(log_from)
        said = log.read()
    with contextlib.suppress(OSError):
        said += launch.output.read_bytes()
    lines = [line.rstrip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    # RabbitMQ prints its reason last. After mongod's follow many lines about its clean-up.
    told = [line for line in lines if COMPLAINT.search(line)] or lines
    quoted = [line[:LOG_LINE_CHARACTERS] for line in told[-LOG_LINES:]]
    return EmbeddedServerError("\n  ".join([f"{launch.name} {what}, see {launch.log}:", *quoted]))


def _output(launch: Launch) -> BinaryIO:
    return launch.output.open("wb")
