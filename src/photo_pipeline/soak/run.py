"""The loss proof from its beginning to its verdict."""

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from photo_pipeline.broker.connection import Link
from photo_pipeline.broker.inspect import count, looking
from photo_pipeline.broker.topology import Names
from photo_pipeline.domain.pipeline import PIPELINE
from photo_pipeline.embedded.launcher import EmbeddedServers, embedded_servers
from photo_pipeline.embedded.ports import free_ports
from photo_pipeline.errors import EmbeddedServerError, PhotoPipelineError, RetryableError
from photo_pipeline.lifecycle import stop_on_signals
from photo_pipeline.settings import Settings, read_settings
from photo_pipeline.soak.evidence import Observer
from photo_pipeline.soak.faults import Done, Faults
from photo_pipeline.soak.fleet import (
    FLEET,
    GRACE_S,
    KILLABLE,
    REPLICAS,
    RoleProcess,
    role_environment,
)
from photo_pipeline.soak.load import START_TIMEOUT_S, Load, until_serving, upload_all
from photo_pipeline.soak.outcomes import Heard, hearing_outcomes, soak_topology
from photo_pipeline.soak.plan import Plan, make_plan
from photo_pipeline.soak.verdict import Verdict, judge
from photo_pipeline.storage.mongo import open_database
from photo_pipeline.storage.mongo_photos import MongoPhotos

SETTLING_S: Final = 2.5
"""RabbitMQ loses a queue for good when it is killed within a second of the queue's first
declaration (its table of raft members is saved every 0.5 s): no operator would do that."""

RETRY_DELAYS_S: Final = "0.5,1,2,4"  # as the defaults grow, in a time that nobody minds waiting
TELL_EVERY_S: Final = 5.0
READY_POLL_S: Final = 0.5
FAILED: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The verdict, and how it came about; durations in seconds."""

    plan: Plan
    kinds: tuple[str, ...]
    verdict: Verdict
    load: Load
    faults: tuple[Done, ...]
    crashes: Mapping[str, list[int]]
    durations_s: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return {
            **self.verdict.as_json(),
            "seed": self.plan.seed,
            "kill": list(self.kinds),
            "faults": [
                asdict(done.fault) | {"began_s": done.began_s, "over_s": done.over_s}
                for done in self.faults
            ],
            "unanswered_tries": self.load.unanswered,
            "refused_tries": self.load.refused,
            "never_accepted": self.load.given_up,
            "crashes": {name: codes for name, codes in self.crashes.items() if codes},
            "durations_s": dict(self.durations_s),
        }


async def soak(
    *, photos: int, kinds: Collection[str], seed: int, patience_s: float, as_json: bool
) -> int:
    """Prove that nothing accepted is lost; print the proof line, return the exit status.

    Everything lies in a temporary folder, which is kept when the proof fails. On SIGINT and
    SIGTERM everything is ended, and nothing is proven.
    """
    plan = make_plan(photos=photos, kinds=kinds, seed=seed, workers=KILLABLE)
    for line in plan.lines():
        _say(line)
    folder = Path(tempfile.mkdtemp(prefix="photo-pipeline-soak-"))
    status = FAILED
    with stop_on_signals() as stop:
        working = asyncio.create_task(_prove(plan, tuple(sorted(kinds)), patience_s, folder))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                _say("interrupted: nothing is proven")
                return FAILED
            report = working.result()
            _print(report, as_json=as_json)
            status = 0 if report.verdict.proven else FAILED
        finally:
            stopping.cancel()
            working.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)
            if status and not stop.is_set():
                _say(f"logs, photos and servers' data are kept in {folder}")
            else:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return status


def _print(report: Report, *, as_json: bool) -> None:
    for line in report.verdict.details():
        _say(line)
    if as_json:
        print(json.dumps(report.as_json(), indent=2), flush=True)  # noqa: T201  # for the caller
        _say(report.verdict.line)
    else:
        print(report.verdict.line, flush=True)  # noqa: T201  # likewise


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  # progress, for people


async def _prove(plan: Plan, kinds: tuple[str, ...], patience_s: float, folder: Path) -> Report:
    try:
        async with AsyncExitStack() as stack:
            return await _prove_on(plan, kinds, patience_s, folder, stack)
    except* PhotoPipelineError as group:
        # Faults and uploads run side by side; the first of their errors tells enough.
        raise _first(group) from None


def _first(group: BaseExceptionGroup[PhotoPipelineError]) -> PhotoPipelineError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _prove_on(
    plan: Plan, kinds: tuple[str, ...], patience_s: float, folder: Path, stack: AsyncExitStack
) -> Report:
    clock = _Clock()
    _say("starting servers and role processes")
    servers = await stack.enter_async_context(embedded_servers(folder / "servers"))
    ports = free_ports(REPLICAS)
    environment = _environment(servers, folder)
    settings = read_settings(environment)
    heard, load = Heard(), Load()
    topology, url = soak_topology(settings.broker), settings.broker.amqp_url
    await stack.enter_async_context(hearing_outcomes(url, topology, heard))
    link = await stack.enter_async_context(looking(url, name="soak", topology=topology))
    database = await stack.enter_async_context(open_database(settings.store.mongo_url))
    await link.channel(START_TIMEOUT_S)  # everything is declared
    declared = asyncio.create_task(asyncio.sleep(SETTLING_S))
    fleet = await stack.enter_async_context(running_fleet(environment, ports, folder))
    services = await until_serving([f"http://127.0.0.1:{port}" for port in ports], stack)
    await _until_consuming(link, settings)
    await declared
    clock.lap("start")
    faults = Faults(
        servers,
        fleet,
        tell=lambda text: _say(f"{clock.lap_s():7.1f} s  {text}"),
        ended=lambda: len(heard.events),
    )
    tell = _teller(clock, plan, load, heard)
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(_tick(tell))
        uploading = group.create_task(upload_all(plan, _made(folder / "photos"), services, load))
        await faults.commit_all(plan.faults)
        await uploading
        ticking.cancel()
    clock.lap("load")
    observer = Observer(
        wanted=plan.photos,
        photos=MongoPhotos(database),
        link=link,
        topology=topology,
        storage=Path(settings.store.storage_url.removeprefix("file://")),
        load=load,
        heard=heard,
    )
    if not await observer.until_at_rest(patience_s, tell):
        _say(f"nothing has moved for {patience_s:g} s")
    clock.lap("rest")
    await asyncio.gather(*(process.stop() for process in fleet.values()))
    await observer.until_all_heard()
    verdict = judge(await observer.evidence())
    clock.lap("verdict")
    return Report(
        plan=plan,
        kinds=kinds,
        verdict=verdict,
        load=load,
        faults=tuple(faults.done),
        crashes={name: process.crashes for name, process in fleet.items()},
        durations_s=clock.laps,
    )


class _Clock:
    """How long each part took."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._began = time.monotonic()

    def lap_s(self) -> float:
        """Return how long the present part has taken so far."""
        return time.monotonic() - self._began

    def lap(self, name: str) -> None:
        """End a part."""
        self.laps[name] = round(self.lap_s(), 1)
        self._began = time.monotonic()


def _environment(servers: EmbeddedServers, folder: Path) -> dict[str, str]:
    return {
        "PHOTO_AMQP_URL": servers.amqp_url,
        "PHOTO_MONGO_URL": servers.mongo_url,
        "PHOTO_STORAGE_URL": _made(folder / "storage").as_uri(),
        "PHOTO_RETRY_DELAYS_S": RETRY_DELAYS_S,
        "PHOTO_SHUTDOWN_GRACE_S": str(GRACE_S),
        "PHOTO_LOG_FORMAT": "json",
    }


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@asynccontextmanager
async def running_fleet(
    environment: Mapping[str, str], ports: Collection[int], folder: Path
) -> AsyncIterator[Mapping[str, RoleProcess]]:
    """Keep every member of the fleet running; the APIs on *ports*, logs in *folder*."""
    free = iter(ports)
    logs = _made(folder / "logs")
    fleet: dict[str, RoleProcess] = {}
    for member in FLEET:
        settings = dict(environment)
        if member.roles == "api":
            settings["PHOTO_HTTP_PORT"] = str(next(free))
        log = logs / f"{member.name}.log"
        fleet[member.name] = RoleProcess(member, role_environment(settings), log)
    running = [asyncio.create_task(process.keep_running()) for process in fleet.values()]
    try:
        yield fleet
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _until_consuming(link: Link, settings: Settings) -> None:
    """Wait until every replica of every stage consumes."""
    names = Names(settings.broker.topology_prefix)
    queues = [names.stage_queue(stage) for stage in PIPELINE]
    with suppress(TimeoutError):
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                with suppress(RetryableError):
                    counts = await count(link, queues)
                    if all(found.consumers >= REPLICAS for found in counts.values()):
                        return
                await asyncio.sleep(READY_POLL_S)
    raise EmbeddedServerError(f"the stages do not consume within {START_TIMEOUT_S:g} s")


def _teller(clock: _Clock, plan: Plan, load: Load, heard: Heard) -> Callable[[], None]:
    """Return what says how far it is, every TELL_EVERY_S at most."""
    told = time.monotonic()

    def tell() -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            _say(
                f"{clock.lap_s():7.1f} s  {len(load.accepted)} of {plan.photos} accepted, "
                f"{len(heard.events)} outcomes heard"
            )

    return tell


async def _tick(tell: Callable[[], None]) -> None:
    while True:
        tell()
        await asyncio.sleep(TELL_EVERY_S)
