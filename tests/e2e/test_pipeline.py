"""The main job, by real role processes on real servers with real photos."""

import asyncio
import io
import json
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from PIL import ExifTags, Image

from photo_pipeline.domain.pipeline import SUBSCRIBERS
from support.outcomes import watching_outcomes
from support.processes import ROOT, SAMPLES, Fleet, RoleProcess, Space
from support.waiting import until

STAGES = ("resize", "watermark", "detect")
MANIFEST = {entry["file"]: entry for entry in json.loads((SAMPLES / "MANIFEST.json").read_text())}
LARGE = SAMPLES / "dandelion-16mp.jpg"
SMALL = SAMPLES / "cat-small.jpg"


async def test_every_sample_goes_through_a_process_for_each_role(
    fleet: Fleet, space: Space
) -> None:
    async with watching_outcomes(space) as watcher:
        api = await fleet.start_api()
        roles = (*STAGES, *SUBSCRIBERS, "reconcile")
        processes = await asyncio.gather(*(fleet.start(role) for role in roles))
        for process in (api, *processes):
            await _check_probes(fleet, process)
        paths = [SAMPLES / name for name in MANIFEST]
        ids = await asyncio.gather(*(fleet.upload(api, path) for path in paths))
        documents = await fleet.outcomes(api, ids)
        for path, document in zip(paths, documents, strict=True):
            _check_document(document, MANIFEST[path.name])
            await _check_renditions(fleet, api, document)
        events = await until(watcher.events)
        while len(events) < len(ids):
            events += await until(watcher.events)
        assert sorted(e.photo_id for e in events) == sorted(ids)
        assert await watcher.left() == {}
        for process in (api, *processes):
            assert await process.terminate() == 0
    assert not [p for p in space.files() if p.parent.name == "tmp"]


async def _check_probes(fleet: Fleet, process: RoleProcess) -> None:
    async with fleet.http.get(f"{process.url}/healthz") as answer:
        assert answer.status == 200
    async with fleet.http.get(f"{process.url}/readyz") as answer:
        checks = (await answer.json())["checks"]
        assert {"mongodb", "rabbitmq", "storage"} <= set(checks), process.log
        assert set(checks.values()) == {"ok"}
    async with fleet.http.get(f"{process.url}/metrics") as answer:
        assert "process_resident_memory_bytes" in await answer.text()


def _check_document(document: dict[str, Any], sample: dict[str, Any]) -> None:
    assert document["status"] == "done", document["error"]
    assert [document["width"], document["height"]] == sample["displayed_size"]
    assert document["sha256"] == sample["sha256"]
    assert [s["status"] for s in document["stages"]] == ["done"] * 3
    assert [e["revision"] for e in document["timeline"]] == list(range(1, document["revision"] + 1))
    assert all(s["wait_ms"] is not None and s["work_ms"] > 0 for s in document["stages"])
    assert document["placeholder"].startswith("data:image/")
    assert document["detection"]["colours"]
    assert document["detection"]["unsafe"]["band"] in {"ok", "review"}
    assert document["detection"]["timings_ms"].keys() == {"labels", "faces", "unsafe"}
    assert document["srcset"]


async def _check_renditions(fleet: Fleet, api: RoleProcess, document: dict[str, Any]) -> None:
    names = {r["name"] for r in document["renditions"]}
    assert names == {"2048", "1280", "640", "320", "2048-watermarked", "1280-watermarked"}
    for rendition in document["renditions"]:
        async with fleet.http.get(f"{api.url}{rendition['url']}") as answer:
            data = await answer.read()
            assert answer.status == 200
            assert answer.content_type == rendition["content_type"]
        image = Image.open(io.BytesIO(data))
        image.load()
        assert image.size == (rendition["width"], rendition["height"])
        size = int(rendition["name"].split("-")[0])
        assert max(image.size) == min(size, max(document["width"], document["height"]))
        assert (image.width > image.height) == (document["width"] > document["height"])
        assert set(image.getexif()) <= {ExifTags.Base.Artist, ExifTags.Base.Copyright}
        assert "icc_profile" not in image.info


async def test_what_fails_says_why_and_stays_explained(
    fleet: Fleet, space: Space, tmp_path: Path
) -> None:
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(SMALL.read_bytes()[:20_000])
    async with watching_outcomes(space) as watcher:
        api = await fleet.start_api("api,workers,subscribers")
        photo_id = await fleet.upload(api, truncated)
        document = await fleet.outcome(api, photo_id)
        assert document["status"] == "failed"
        assert document["error"]["code"] == "unreadable_image"
        assert document["error"]["stage"] == "resize"
        assert [s["status"] for s in document["stages"]] == ["failed", "pending", "pending"]
        (event,) = await until(watcher.events)
        assert event.type == "photo.failed"

        async def dead() -> list[bytes]:
            # Beside it an event may still wait for its subscriber.
            return (await watcher.left()).get(f"{space.name}.resize.dead", [])

        (letter,) = await until(dead)
        assert json.loads(letter)["photo_id"] == photo_id


async def test_killing_a_stage_at_work_costs_no_photo(fleet: Fleet) -> None:
    api = await fleet.start_api("api,watermark,detect")
    victim = await fleet.start("resize")
    ids = [await fleet.upload(api, LARGE) for _ in range(3)]
    await until(lambda: _running(fleet, api, ids))
    children = psutil.Process(victim.pid).children()
    assert children
    victim.kill()
    await victim.process.wait()
    await fleet.start("resize")
    documents = await fleet.outcomes(api, ids)
    assert [d["status"] for d in documents] == ["done"] * 3
    assert max(d["stages"][0]["attempts"] for d in documents) == 2
    assert not [c for c in children if c.is_running()], "the sandbox outlived its worker"


async def _running(fleet: Fleet, api: RoleProcess, ids: list[str]) -> bool:
    documents = [await fleet.status(api, i) for i in ids]
    return any(d["stages"][0]["status"] == "running" for d in documents)


async def test_another_process_finishes_what_a_killed_one_began(fleet: Fleet) -> None:
    api = await fleet.start_api("api,watermark,detect")
    victim = await fleet.start("resize")
    ids = [await fleet.upload(api, LARGE) for _ in range(3)]
    await until(lambda: _running(fleet, api, ids))
    await fleet.start("resize")
    victim.kill()
    documents = await fleet.outcomes(api, ids)
    assert [d["status"] for d in documents] == ["done"] * 3


async def test_sigterm_finishes_the_photo_in_work_and_ends_with_0(fleet: Fleet) -> None:
    api = await fleet.start_api("api,watermark,detect")
    stage = await fleet.start("resize")
    ids = [await fleet.upload(api, LARGE) for _ in range(4)]
    await until(lambda: _running(fleet, api, ids))
    assert await stage.terminate() == 0
    documents = [await fleet.status(api, i) for i in ids]
    standing = {d["stages"][0]["status"] for d in documents}
    assert "running" not in standing
    assert "done" in standing
    await fleet.start("resize")
    documents = await fleet.outcomes(api, ids)
    assert [d["status"] for d in documents] == ["done"] * 4
    assert [d["stages"][0]["attempts"] for d in documents] == [1] * 4, "finished work came again"
    assert await api.terminate() == 0


async def test_wrong_use_is_told_with_status_2(fleet: Fleet) -> None:
    process = await fleet.start("resise", ready=False)
    assert await asyncio.wait_for(process.process.wait(), 30) == 2
    assert "no such role: resise" in process.log.read_text()
    process = await fleet.start("api", environment={"PHOTO_HTTP_PORT": "high"}, ready=False)
    assert await asyncio.wait_for(process.process.wait(), 30) == 2
    assert "PHOTO_HTTP_PORT" in process.log.read_text()


async def test_a_port_in_use_ends_the_process_with_its_reason(fleet: Fleet) -> None:
    api = await fleet.start_api()
    port = api.url.rsplit(":", 1)[1]
    second = await fleet.start("api", environment={"PHOTO_HTTP_PORT": port}, ready=False)
    assert await asyncio.wait_for(second.process.wait(), 30) == 1
    assert "address already in use" in second.log.read_text()


TINY_STAGE = '''
"""Count the bytes: the smallest stage there can be."""

from photo_pipeline.domain.stage import ORIGINAL, Output, Parameters, Stage


class Nothing(Parameters):
    """No parameters."""


def count(inputs, parameters):
    return Output(facts={"bytes": len(inputs[ORIGINAL])})


STAGE = Stage(version=1, parameters=Nothing, transform=count, reads=lambda _: (ORIGINAL,))
'''


async def test_adding_a_stage_is_one_file_and_one_line(
    fleet: Fleet, space: Space, tmp_path: Path
) -> None:
    """Role, queues, status slot, forwarding and API follow from the new name."""
    source = tmp_path / "src"
    package = source / "photo_pipeline"
    await asyncio.to_thread(_copy_package, package)
    (package / "stages" / "tiny.py").write_text(TINY_STAGE)
    registry = package / "domain" / "pipeline.py"
    registry.write_text(
        registry.read_text().replace('    "detect",\n', '    "detect",\n    "tiny",\n')
    )
    api = await fleet.start_api("api,resize,watermark,detect", source=source)
    tiny = await fleet.start("tiny", source=source)
    photo_id = await fleet.upload(api, SMALL)
    document = await fleet.outcome(api, photo_id)
    assert [(s["name"], s["status"]) for s in document["stages"]][-1] == ("tiny", "done")
    assert document["facts"]["tiny"] == {"bytes": SMALL.stat().st_size}

    async def counted() -> bool:
        async with fleet.http.get(f"{tiny.url}/metrics") as answer:
            wanted = 'photo_stage_attempts_total{result="done",stage="tiny"} 1.0'
            return wanted in await answer.text()

    await until(counted)


def _copy_package(target: Path) -> None:
    shutil.copytree(
        ROOT / "src" / "photo_pipeline", target, ignore=shutil.ignore_patterns("__pycache__")
    )


async def test_the_event_loop_stays_free_while_photos_are_in_work(fleet: Fleet) -> None:
    api = await fleet.start_api("api,workers")
    ids = [await fleet.upload(api, LARGE) for _ in range(3)]
    loop = asyncio.get_running_loop()
    slowest = 0.0
    while {(await fleet.status(api, i))["status"] for i in ids} != {"done"}:
        started = loop.time()
        async with fleet.http.get(f"{api.url}/healthz", timeout=aiohttp.ClientTimeout(5)) as answer:
            assert answer.status == 200
        slowest = max(slowest, loop.time() - started)
    assert slowest < 1.0
