"""Measure the whole system against the floor, in one run: throughput, CPU, latency, memory.

Real servers, real roles, two worker processes as the floor has. Models are left out, as they
would hide all else. The workers are halted while the photos are uploaded, so that they meet a
full queue. Run by ``make bench``.
"""

import argparse
import asyncio
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.floor import floor
from bench.photos import make_photos
from bench.processes import Role, cpu_ms, family, pss_mb, running
from photo_pipeline.embedded.launcher import EmbeddedServers, embedded_servers

DIFFERENT: Final = {"S": 12, "M": 6, "L": 4}
PHOTOS: Final = {"S": 120, "M": 36, "L": 16}
ROUNDS: Final = 3
WORKERS: Final = 2
ALONE: Final = 15  # photos sent through the idle system, one after the other
ROLES: Final = ("api", "resize", "watermark", "detect", "reconcile")
WITHOUT_MODELS: Final = "[default.detect]\ndetectors = []\n"
OUTCOME_WITHIN_S: Final = 120

Document = Mapping[str, Any]


async def upload(api: Role, photo: Path, http: aiohttp.ClientSession) -> str:
    """Upload a photo and return its id."""
    form = aiohttp.FormData()
    form.add_field("file", photo.read_bytes(), filename=photo.name)
    async with http.post(f"{api.url}/upload/", data=form, raise_for_status=True) as answer:
        return str((await answer.json())["id"])


async def outcome(api: Role, photo_id: str, http: aiohttp.ClientSession) -> Document:
    """Return the status document of a photo when it is done; raise if it has failed."""
    async with asyncio.timeout(OUTCOME_WITHIN_S):
        while True:
            async with http.get(f"{api.url}/status/{photo_id}", params={"wait": 20}) as answer:
                document: Document = await answer.json()
            if document["status"] == "done":
                return document
            if document["status"] == "failed":
                raise RuntimeError(f"a photo failed: {document['error']}")


async def full_load(
    photos: Sequence[Path],
    api: Role,
    workers: Sequence[Role],
    servers: EmbeddedServers,
    http: aiohttp.ClientSession,
) -> tuple[float, float]:
    """Return photos/s and CPU milliseconds a photo, those of broker and database included."""
    for worker in workers:
        worker.process.send_signal(signal.SIGSTOP)
    try:
        ids = [await upload(api, photo, http) for photo in photos]
        pids = [pid for worker in workers for pid in worker.pids]
        pids += [*family(servers.rabbitmq.pid), *family(servers.mongod.pid)]
        used, start = cpu_ms(pids), datetime.now(UTC)
    finally:
        for worker in workers:
            worker.process.send_signal(signal.SIGCONT)
    documents = [await outcome(api, photo_id, http) for photo_id in ids]
    used = cpu_ms(pids) - used
    end = max(datetime.fromisoformat(document["finished_at"]) for document in documents)
    return len(photos) / (end - start).total_seconds(), used / len(photos)


async def latency(
    photos: Sequence[Path], api: Role, http: aiohttp.ClientSession
) -> dict[str, float]:
    """Return milliseconds of single photos: upload answered, and from there to the outcome."""
    answered, reached, working = [], [], []
    for photo in photos:
        begin = time.monotonic()
        photo_id = await upload(api, photo, http)
        answer = datetime.now(UTC)
        answered.append((time.monotonic() - begin) * 1000)
        document = await outcome(api, photo_id, http)
        done = datetime.fromisoformat(document["finished_at"])
        reached.append((done - answer).total_seconds() * 1000)
        working.append(sum(stage["work_ms"] for stage in document["stages"]))
    return {
        "upload_p50_ms": statistics.median(answered),
        "outcome_p50_ms": statistics.median(reached),
        "outcome_p95_ms": statistics.quantiles(reached, n=20)[-1],
        "stages_p50_ms": statistics.median(working),
    }


def in_space(servers: EmbeddedServers, folder: Path) -> dict[str, str]:
    """Return the settings under which the roles of this run meet."""
    (folder / "presets.toml").write_text(WITHOUT_MODELS, encoding="utf-8")
    return {
        "PHOTO_AMQP_URL": servers.amqp_url,
        "PHOTO_MONGO_URL": servers.mongo_url,
        "PHOTO_STORAGE_URL": (folder / "photos").as_uri(),
        "PHOTO_PRESETS_FILE": str(folder / "presets.toml"),
    }


async def resting(
    environment: Mapping[str, str], http: aiohttp.ClientSession
) -> dict[str, dict[str, float]]:
    """Return what each role takes: seconds to be ready, MB when idle, children included."""
    found = {}
    for name in ROLES:
        async with running(name, environment, http) as role:
            found[name] = {"cold_start_s": role.cold_start_s, "idle_mb": pss_mb(role.pids)}
    return found


async def measure(sets: Sequence[str], rounds: int, folder: Path) -> dict[str, Any]:
    """Return every number of one run."""
    report: dict[str, Any] = {}
    async with (
        embedded_servers(folder / "servers") as servers,
        aiohttp.ClientSession() as http,
        AsyncExitStack() as stack,
    ):
        environment = in_space(servers, folder)
        report["roles"] = await resting(environment, http)
        api = await stack.enter_async_context(running("api", environment, http))
        workers = [
            await stack.enter_async_context(running("workers", environment, http))
            for _ in range(WORKERS)
        ]
        for name in sets:
            photos = _files(name, folder)
            await full_load(photos[: 2 * WORKERS], api, workers, servers, http)
            report[name] = {"latency": await latency(photos[:ALONE], api, http)}
            bare, whole = [], []
            for _ in range(rounds):
                bare.append(await asyncio.to_thread(floor, photos, folder / "floor", WORKERS))
                whole.append(await full_load(photos, api, workers, servers, http))
            report[name] |= _compared(bare, whole)
            show(name, report[name])
    return report


def _files(name: str, folder: Path) -> list[Path]:
    made = []
    for i, data in enumerate(make_photos(name, DIFFERENT[name])):
        made.append(folder / f"{name}-{i}.jpg")
        made[-1].write_bytes(data)
    return [made[i % len(made)] for i in range(PHOTOS[name])]


def _compared(
    bare: Sequence[tuple[float, float]], whole: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """Return medians, and the medians of the ratios of each round."""
    return {
        "floor": {
            "photos_per_s": statistics.median(rate for rate, _ in bare),
            "cpu_ms": statistics.median(cpu for _, cpu in bare),
        },
        "system": {
            "photos_per_s": statistics.median(rate for rate, _ in whole),
            "cpu_ms": statistics.median(cpu for _, cpu in whole),
        },
        "share_of_floor": statistics.median(
            ours / least for (ours, _), (least, _) in zip(whole, bare, strict=True)
        ),
        "cpu_ms_beyond_floor": statistics.median(
            ours - least for (_, ours), (_, least) in zip(whole, bare, strict=True)
        ),
    }


def show(name: str, found: Mapping[str, Any]) -> None:
    """Print what was found of one set."""
    print(f"{name}: {PHOTOS[name]} photos, {WORKERS} worker processes")
    for way in ("floor", "system"):
        rate, cpu = found[way]["photos_per_s"], found[way]["cpu_ms"]
        print(f"  {rate:8.1f} photos/s  {cpu:8.1f} ms CPU a photo  {way}")
    print(f"  {found['share_of_floor']:8.2f} of the floor")
    for what, taken in found["latency"].items():
        print(f"  {taken:8.1f} {what}")


def main() -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default="S,M,L", help="which sets, by their letters")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="photo-bench-") as folder:
        sets = arguments.sets.split(",")
        report = asyncio.run(measure(sets, arguments.rounds, Path(folder)))
    for name, taken in report["roles"].items():
        print(f"  {taken['cold_start_s']:8.2f} s to be ready  {taken['idle_mb']:6.0f} MB  {name}")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
