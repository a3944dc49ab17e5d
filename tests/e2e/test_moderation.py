"""A preset with a gate, by real role processes: nothing is public before it has passed."""

import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from photo_pipeline.domain.status import EventType
from support.outcomes import watching_outcomes
from support.processes import SAMPLES, Fleet, RoleProcess, Space
from support.waiting import until

PHOTO = SAMPLES / "cat-small.jpg"
DOUBTED = SAMPLES / "drum-orientation-5.jpg"
"""Harmless: the detector's false alarm, which is what people are there for."""
PRESETS = """\
[gated]
gate = "hold"

[doubting]
gate = "hold"
detect = { review = 0.1, block = 0.9 }

[refusing]
gate = "block"
detect = { review = 0.1, block = 0.1 }
"""
NAMES = ("original", "640", "1280", "640-watermarked")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    presets = tmp_path / "presets.toml"
    presets.write_text(PRESETS)
    return {"PHOTO_PRESETS_FILE": str(presets)}


async def _get(fleet: Fleet, api: RoleProcess, path: str) -> tuple[int, Any, str]:
    async with fleet.http.get(f"{api.url}{path}") as answer:
        json = "json" in answer.content_type
        body = await (answer.json() if json else answer.read())
        return answer.status, body, answer.headers.get("Cache-Control", "")


async def _decide(fleet: Fleet, api: RoleProcess, photo_id: str, **body: str) -> tuple[int, Any]:
    async with fleet.http.post(f"{api.url}/review/{photo_id}", json=body) as answer:
        return answer.status, await answer.json()


async def _closed(fleet: Fleet, api: RoleProcess, photo_id: str, status: int, code: str) -> None:
    """Nothing but the status is served, and nothing tells where a picture would be."""
    for name in NAMES:
        answered, problem, _ = await _get(fleet, api, f"/photos/{photo_id}/{name}")
        assert (answered, problem["code"]) == (status, code), name
    document = await fleet.status(api, photo_id)
    _, listed, _ = await _get(fleet, api, "/photos")
    summary = next(item for item in listed["items"] if item["id"] == photo_id)
    for told in (document, summary):
        assert told["renditions"] == []
        assert told["placeholder"] is None
        assert told["links"]["original"] is None
    assert document["srcset"] == {}


async def _waits_for_detection(fleet: Fleet, api: RoleProcess, photo_id: str) -> None:
    async def waits() -> bool:
        stages = (await fleet.status(api, photo_id))["stages"]
        return bool(stages[1]["status"] == "done")

    await until(waits)


async def _open(fleet: Fleet, api: RoleProcess, photo_id: str) -> None:
    document = await fleet.status(api, photo_id)
    assert document["placeholder"]
    for path in (r["url"] for r in document["renditions"]):
        status, body, cache = await _get(fleet, api, path)
        assert (status, cache) == (200, "private, no-cache")
        assert body
    assert (await _get(fleet, api, f"/photos/{photo_id}/original"))[0] == 200


async def test_nothing_is_public_while_detection_is_stopped(
    fleet: Fleet, environment: dict[str, str]
) -> None:
    api = await fleet.start_api("api,resize,watermark", environment=environment)
    ids = [await fleet.upload(api, PHOTO, preset="gated") for _ in range(3)]

    for photo_id in ids:
        await _waits_for_detection(fleet, api, photo_id)
        await _closed(fleet, api, photo_id, 409, "awaiting_detection")
        assert (await _decide(fleet, api, photo_id, verdict="approve", by="ada"))[0] == 409
    assert (await _get(fleet, api, "/review"))[1]["items"] == []
    await fleet.start("detect", environment=environment)
    for photo_id in ids:
        document = await fleet.outcome(api, photo_id)
        assert (document["status"], document["moderation"]["verdict"]) == ("done", "passed")
        await _open(fleet, api, photo_id)


@pytest.mark.parametrize(("preset", "verdict"), [("doubting", "review"), ("refusing", "blocked")])
async def test_a_person_decides_and_may_change_the_decision(
    fleet: Fleet, space: Space, environment: dict[str, str], preset: str, verdict: str
) -> None:
    async with watching_outcomes(space) as watcher:
        api = await fleet.start_api("api,workers", environment=environment)
        photo_id = await fleet.upload(api, DOUBTED, preset=preset)
        document = await fleet.outcome(api, photo_id)
        assert (document["status"], document["moderation"]["verdict"]) == ("done", verdict)
        await _closed(fleet, api, photo_id, 403, "held")
        (item,) = (await _get(fleet, api, "/review"))[1]["items"]
        assert (item["id"], item["moderation"]["verdict"]) == (photo_id, verdict)
        for path in item["pictures"].values():
            status, body, cache = await _get(fleet, api, path)
            assert (status, cache) == (200, "private, no-store")
            assert body
        for body in ({}, {"verdict": "approve"}, {"verdict": "maybe", "by": "a"}, {"by": " "}):
            assert (await _decide(fleet, api, photo_id, **body))[0] == 400
        words = {"by": "ada", "reason": "a statue"}
        for _ in range(2):  # saying it again changes nothing
            status, document = await _decide(fleet, api, photo_id, verdict="approve", **words)
            assert (status, document["moderation"]["verdict"]) == (200, "approved")
        entry = document["timeline"][-1]
        assert (entry["type"], entry["by"], entry["reason"]) == ("photo.approved", *words.values())
        await _open(fleet, api, photo_id)
        assert (await _get(fleet, api, "/review"))[1]["items"] == []
        status, document = await _decide(fleet, api, photo_id, verdict="reject", by="bob")
        await _closed(fleet, api, photo_id, 403, "held")
        events = await watcher.told(3)
    assert [(e.type, e.event_id) for e in events] == [
        (type_, f"{photo_id}:{document['revision'] - 2 + n}")
        for n, type_ in enumerate(
            (EventType.PHOTO_DONE, EventType.PHOTO_APPROVED, EventType.PHOTO_REJECTED)
        )
    ]
    assert [bool(e.photo.renditions) for e in events] == [False, True, False]
    plain = await fleet.upload(api, PHOTO)
    await fleet.outcome(api, plain)
    status, problem = await _decide(fleet, api, plain, verdict="reject", by="bob")
    assert (status, problem["code"]) == (409, "not_moderated")
    assert (await _get(fleet, api, f"/review/{plain}/640"))[0] == 409
    assert (await _decide(fleet, api, "nothing", verdict="reject", by="bob"))[0] == 404


NOT_INSTALLED = """\
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "onnxruntime":
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Absent())
"""


async def test_without_the_models_all_but_gated_photos_are_processed(
    fleet: Fleet, space: Space, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NOT_INSTALLED)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    api = await fleet.start_api("api,workers", environment=environment)
    form = aiohttp.FormData()
    form.add_field("preset", "gated")
    form.add_field("file", PHOTO.read_bytes(), filename=PHOTO.name)
    async with fleet.http.post(f"{api.url}/upload/", data=form) as answer:
        problem = await answer.json()
        assert (answer.status, problem["code"]) == (503, "detection_unavailable")
        assert "pip install 'photo-pipeline[detect]'" in problem["detail"]
        assert int(answer.headers["Retry-After"]) > 0
    assert (await _get(fleet, api, "/photos"))[1]["items"] == []
    assert space.files() == []
    photo_id = await fleet.upload(api, PHOTO)
    document = await fleet.outcome(api, photo_id)
    assert document["status"] == "done", document["error"]
    assert "unsafe" not in document["detection"]
    report = document["detection"]["detectors"]["unsafe"]
    assert (report["status"], bool(report["reason"])) == ("not_run", True)
    async with fleet.http.post(
        f"{api.url}/photos/{photo_id}/reprocess", json={"preset": "gated"}
    ) as answer:
        assert (answer.status, (await answer.json())["code"]) == (503, "detection_unavailable")
