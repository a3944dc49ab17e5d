"""Role processes to be measured, and what the kernel tells of them."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from photo_pipeline.embedded.ports import free_ports

SOURCE: Final = Path(__file__).parents[2] / "src"
START_WITHIN_S: Final = 60.0  # many times what a role takes
LOOK_EVERY_S: Final = 0.02  # a fiftieth of what a cold start takes
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Role:
    """A running role; ``url`` is its API's or its probe port's, ``cold_start_s`` exec to ready."""

    process: Process
    url: str
    cold_start_s: float

    @property
    def pids(self) -> list[int]:
        """The process and its children."""
        return family(self.process.pid)


@asynccontextmanager
async def running(
    role: str, environment: Mapping[str, str], http: aiohttp.ClientSession
) -> AsyncIterator[Role]:
    """Run *role* for as long as the block does, ready from its beginning."""
    web, probe = free_ports(2)
    log = Path(environment["PHOTO_STORAGE_URL"].removeprefix("file://")).parent / f"{role}.log"
    start = time.monotonic()
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "photo_pipeline", "--role", role),
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("PHOTO_")},
                **environment,
                "PYTHONPATH": str(SOURCE),
                "PHOTO_HTTP_PORT": str(web),
                "PHOTO_HEALTH_PORT": str(probe),
                "PHOTO_LOG_LEVEL": "warning",
            },
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        await _until_ready(process, f"http://127.0.0.1:{probe}/readyz", log, http)
        port = web if role in ("api", "all") else probe
        yield Role(process, f"http://127.0.0.1:{port}", time.monotonic() - start)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _until_ready(
    process: Process, probe: str, log: Path, http: aiohttp.ClientSession
) -> None:
    async with asyncio.timeout(START_WITHIN_S):
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"ended with {process.returncode}, see {log}")
            with suppress(aiohttp.ClientError):
                async with http.get(probe) as answer:
                    if answer.ok:
                        return
            await asyncio.sleep(LOOK_EVERY_S)


def family(root: int) -> list[int]:
    """Return the process *root* and all that descend from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def cpu_ms(pids: Iterable[int]) -> float:
    """Return the CPU milliseconds (user and system) that *pids* have used up to now."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):  # RabbitMQ looks at disk and memory by programs of a moment
            ticks += sum(map(int, _stat(pid)[11:13]))
    return ticks * 1000 / TICKS


def pss_mb(pids: Iterable[int]) -> float:
    """Return the memory of *pids* in MB of 10^6, each shared page split among its users (PSS)."""
    kib = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                kib += int(line.split()[1])
    return kib * 1024 / 1e6


def _stat(pid: int) -> list[str]:
    # The name of the command stands in parentheses and may hold spaces, see proc_pid_stat(5).
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()
