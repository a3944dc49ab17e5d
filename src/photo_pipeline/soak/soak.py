"""The soak: start everything, load it, break it, and hold what is there against what went in."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from photo_pipeline.broker.inspect import looking
from photo_pipeline.embedded.launcher import EmbeddedServers, embedded_servers
from photo_pipeline.embedded.ports import free_ports
from photo_pipeline.settings import read_settings
from photo_pipeline.soak.evidence import Observer
from photo_pipeline.soak.faults import Faults
from photo_pipeline.soak.fleet import FLEET, GRACE_S, KILLABLE, RoleProcess, role_environment
from photo_pipeline.soak.load import Load, until_serving, upload_all
from photo_pipeline.soak.outcomes import Heard, hearing_outcomes, soak_topology
from photo_pipeline.soak.plan import Fault, Plan, make_plan
from photo_pipeline.soak.verdict import Verdict, count_faults, judge
from photo_pipeline.storage.mongo import open_database
from photo_pipeline.storage.photos import MongoPhotos

RETRY_DELAYS_S: Final = "0.5,1,2,4"  # as many tries as by default, in seconds instead of minutes

SETTLING_S: Final = 2.5
"""RabbitMQ loses a queue for good when it is killed within a second of the queue's very first
declaration (it saves the table of raft members every 0.5 s): no loss of this pipeline's."""

PATIENCE_S: Final = 45.0
"""Without any progress after the load. A debt is paid after 25 s; longer, and reconcile would
find photos by itself whose message was lost: that mends a loss, and this is to show it."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a soak went."""

    plan: Plan
    verdict: Verdict
    load: Load
    faults: Sequence[str]
    crashes: Mapping[str, Sequence[int]]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            **self.verdict.as_json(),
            "seed": self.plan.seed,
            "seconds": round(self.seconds, 1),
            "uploads_repeated": {
                "without_answer": self.load.unanswered,
                "refused": self.load.refused,
            },
            "never_accepted": self.load.given_up,
            "faults": count_faults(self.faults),
            "unexpected_exits": {name: list(status) for name, status in self.crashes.items()},
        }


async def soak(
    *, photos: int, kinds: Collection[str], seed: int, as_json: bool, data: Path | None
) -> int:
    """Run a soak and print its proof; return the exit status: 1 on any difference.

    Everything lies below *data*, or else in a temporary folder that is kept after a difference.
    Raises EmbeddedServerError when the servers do not run here.
    """
    plan = make_plan(photos=photos, kinds=kinds, seed=seed, workers=KILLABLE)
    for line in plan.lines():
        _tell(line)
    folder = data or Path(tempfile.mkdtemp(prefix="photo-pipeline-soak-"))
    report = await run(plan, folder)
    verdict = report.verdict
    for line in verdict.details():
        _tell(line)
    if not verdict.proven:
        _tell(f"logs, servers and photos: {folder}")
    elif data is None:
        await asyncio.to_thread(rmtree, folder, ignore_errors=True)
    print(json.dumps(report.as_json(), indent=2) if as_json else verdict.line)  # noqa: T201
    return 0 if verdict.proven else 1


async def run(
    plan: Plan,
    folder: Path,
    *,
    patience_s: float = PATIENCE_S,
    environment: Mapping[str, str] | None = None,
) -> Report:
    """Do what *plan* says below *folder*, and return what came of it.

    *environment* is added to that of the role processes. It ends by itself when there was no
    progress for *patience_s*.
    """
    began = time.monotonic()
    load, heard = Load(), Heard()
    async with embedded_servers(folder / "servers") as servers:
        own = _environment(servers, folder)
        settings = read_settings(own)
        topology, url = soak_topology(settings.broker), settings.broker.amqp_url
        async with (
            hearing_outcomes(url, topology, heard),
            looking(url, name="soak", topology=topology) as link,
            open_database(settings.store.mongo_url) as database,
        ):
            observer = Observer(
                wanted=plan.photos,
                photos=MongoPhotos(database),
                link=link,
                topology=topology,
                storage=folder / "photos",
                load=load,
                heard=heard,
            )
            async with _fleet(role_environment({**own, **(environment or {})}), folder) as fleet:
                faults = Faults(servers, fleet.processes, _tell)
                await _under_load(plan, folder, fleet.urls, load, faults)
                if not await observer.until_at_rest(patience_s, _tell):
                    _tell(f"no progress for {patience_s:g} s")
            await observer.until_all_heard()
            verdict = judge(await observer.evidence())
    return Report(
        plan=plan,
        verdict=verdict,
        load=load,
        faults=[f"{fault.action} {fault.target}" for fault in faults.done],
        crashes={name: p.crashes for name, p in fleet.processes.items() if p.crashes},
        seconds=time.monotonic() - began,
    )


async def _under_load(
    plan: Plan, folder: Path, urls: Sequence[str], load: Load, faults: Faults
) -> None:
    """Upload, and break things meanwhile; return when both are over."""
    async with AsyncExitStack() as stack:
        services = await until_serving(urls, stack)
        await asyncio.sleep(SETTLING_S)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(upload_all(plan, folder / "uploads", services, load))
            for fault in plan.faults:
                group.create_task(_later(began + fault.at_s, faults, fault))


async def _later(at: float, faults: Faults, fault: Fault) -> None:
    await asyncio.sleep(max(0.0, at - time.monotonic()))
    await faults.commit(fault)


def _environment(servers: EmbeddedServers, folder: Path) -> dict[str, str]:
    return {
        "PHOTO_AMQP_URL": servers.amqp_url,
        "PHOTO_MONGO_URL": servers.mongo_url,
        "PHOTO_STORAGE_URL": (folder.resolve() / "photos").as_uri(),
        "PHOTO_RETRY_DELAYS_S": RETRY_DELAYS_S,
        "PHOTO_SHUTDOWN_GRACE_S": str(GRACE_S),
        "PHOTO_LOG_FORMAT": "json",
        "PHOTO_HEALTH_PORT": "0",
    }


@dataclass(frozen=True, slots=True)
class _Fleet:
    processes: Mapping[str, RoleProcess]
    urls: Sequence[str]


@asynccontextmanager
async def _fleet(environment: Mapping[str, str], folder: Path) -> AsyncIterator[_Fleet]:
    """Keep the role processes running as long as the block does; then they stop, gracefully."""
    apis = [member.name for member in FLEET if member.roles == "api"]
    ports = dict(zip(apis, free_ports(len(apis)), strict=True))
    logs = folder / "logs"
    await asyncio.to_thread(logs.mkdir, parents=True, exist_ok=True)
    processes = {
        member.name: RoleProcess(
            member,
            {**environment, "PHOTO_HTTP_PORT": str(ports.get(member.name, 0))},
            logs / f"{member.name}.log",
        )
        for member in FLEET
    }
    running = [asyncio.create_task(process.keep_running()) for process in processes.values()]
    try:
        yield _Fleet(processes, [f"http://127.0.0.1:{port}" for port in ports.values()])
        await asyncio.gather(*(process.stop() for process in processes.values()))
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201  # stdout is for the proof
