"""Another run, and what caches may make of the bytes before and after it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.outcomes import watching_outcomes
from support.processes import SAMPLES, Fleet, RoleProcess, Space
from support.waiting import until

PHOTO = SAMPLES / "coffee-gps.jpg"
PRESETS = """\
[marked]
watermark = { text = "Again" }

[coarse]
resize = { quality = 30 }
"""


@pytest.fixture
def presets(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "presets.toml"
    path.write_text(PRESETS)
    return {"PHOTO_PRESETS_FILE": str(path)}


async def _ask(
    fleet: Fleet, api: RoleProcess, photo_id: str, body: Any = None
) -> tuple[int, dict[str, Any]]:
    text = body if isinstance(body, str) else None
    json = None if isinstance(body, str) else body
    url = f"{api.url}/photos/{photo_id}/reprocess"
    async with fleet.http.post(url, data=text, json=json) as answer:
        if answer.status == 202:
            assert answer.headers["Location"] == f"/status/{photo_id}"
        return answer.status, await answer.json()


async def _again(fleet: Fleet, api: RoleProcess, photo_id: str, **body: str) -> dict[str, Any]:
    status, answer = await _ask(fleet, api, photo_id, body)
    assert (status, answer.get("status")) == (202, "queued"), answer
    document = await fleet.outcome(api, photo_id)
    assert document["status"] == "done", document["error"]
    return document


async def _results(fleet: Fleet, api: RoleProcess) -> dict[tuple[str, str], int]:
    """Return how often each stage came to each result."""
    async with fleet.http.get(f"{api.url}/metrics") as answer:
        found = re.findall(
            r'photo_stage_attempts_total\{result="(\w+)",stage="(\w+)"\} (\d+)', await answer.text()
        )
    return {(stage, result): int(n) for result, stage, n in found}


def _written(space: Space) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in space.files()}


def _urls(document: dict[str, Any]) -> dict[str, str]:
    return {r["name"]: r["url"] for r in document["renditions"]}


async def test_only_what_the_preset_changes_is_made_again(
    fleet: Fleet, space: Space, presets: dict[str, str]
) -> None:
    async with watching_outcomes(space) as watcher:
        api = await fleet.start_api("api,workers,subscribers", environment=presets)
        photo_id = await fleet.upload(api, PHOTO)
        before = await fleet.outcome(api, photo_id)
        written = _written(space)
        after = await _again(fleet, api, photo_id, preset="marked")
        rewritten = _written(space)
        marked = {p for p in written if "watermarked" in p.name}
        assert marked
        assert {p: rewritten.get(p) for p in written.keys() - marked} == {
            p: written[p] for p in written.keys() - marked
        }
        assert len(rewritten) == len(written)
        assert not marked & rewritten.keys(), "what was replaced is still there"
        results = await until(lambda: _counted(fleet, api, 6))
        assert results == {
            ("resize", "done"): 1,
            ("resize", "reused"): 1,
            ("watermark", "done"): 2,
            ("detect", "done"): 1,
            ("detect", "reused"): 1,
        }
        assert (after["preset"], after["detection"]) == ("marked", before["detection"])
        assert [s["attempts"] for s in after["stages"]] == [1, 1, 1]
        assert [e["revision"] for e in after["timeline"]] == list(range(1, after["revision"] + 1))
        await _again(fleet, api, photo_id)  # as it is: nothing at all is made
        assert _written(space) == rewritten
        back = await _again(fleet, api, photo_id, preset="default")
        assert _urls(back) == _urls(before)
        events = await until(watcher.events)
        while len(events) < 4:
            events += await until(watcher.events)
        assert len({e.event_id for e in events}) == 4

        async def nothing_left() -> bool:
            return await watcher.left() == {}

        await until(nothing_left)


async def _counted(
    fleet: Fleet, api: RoleProcess, attempts: int
) -> dict[tuple[str, str], int] | None:
    results = await _results(fleet, api)
    return results if sum(results.values()) == attempts else None


async def test_a_run_may_begin_at_a_later_stage(fleet: Fleet, presets: dict[str, str]) -> None:
    api = await fleet.start_api("api,workers", environment=presets)
    photo_id = await fleet.upload(api, PHOTO)
    before = await fleet.outcome(api, photo_id)
    after = await _again(fleet, api, photo_id, preset="marked", from_stage="watermark")
    told = [e.get("stage") for e in after["timeline"][before["revision"] :]]
    assert told == [None, "watermark", "watermark", "detect", "detect", None]
    assert after["stages"][0] == before["stages"][0]
    refused = await _ask(fleet, api, photo_id, {"preset": "coarse", "from_stage": "detect"})
    assert (refused[0], refused[1]["code"]) == (409, "stage_not_reusable")
    assert await fleet.status(api, photo_id) == after


async def test_what_cannot_be_processed_again_says_why(fleet: Fleet) -> None:
    api = await fleet.start_api()
    photo_id = await fleet.upload(api, PHOTO)
    before = await fleet.status(api, photo_id)
    for body, status, code in (
        (None, 409, "not_finished"),
        ({}, 409, "not_finished"),
        ({"preset": "nothing"}, 422, "unknown_preset"),
        ({"stage": "resize"}, 400, "invalid_request"),
        ({"from_stage": 1}, 400, "invalid_request"),
        ("[", 400, "invalid_request"),
        ("null", 400, "invalid_request"),
        ("\x00", 400, "invalid_request"),
        ("x" * 5000, 413, "body_too_large"),
    ):
        refused = await _ask(fleet, api, photo_id, body)
        assert (refused[0], refused[1]["code"]) == (status, code), body
    assert await fleet.status(api, photo_id) == before
    refused = await _ask(fleet, api, "nothing")
    assert (refused[0], refused[1]["code"]) == (404, "unknown_photo")
    await fleet.start("workers")
    await fleet.outcome(api, photo_id)
    refused = await _ask(fleet, api, photo_id, {"from_stage": "nothing"})
    assert (refused[0], refused[1]["code"]) == (422, "unknown_stage")
    async with fleet.http.delete(f"{api.url}/photos/{photo_id}"):
        refused = await _ask(fleet, api, photo_id)
        assert (refused[0], refused[1]["code"]) == (410, "photo_deleted")


async def test_a_failed_photo_can_be_processed_again(fleet: Fleet, space: Space) -> None:
    api = await fleet.start_api()
    photo_id = await fleet.upload(api, PHOTO)
    (original,) = space.files()
    away = original.rename(space.storage.parent / "away.jpg")
    await fleet.start("workers")
    failed = await fleet.outcome(api, photo_id)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "missing_blob")
    away.rename(original)
    document = await _again(fleet, api, photo_id)
    assert document["error"] is None
    assert {s["status"] for s in document["stages"]} == {"done"}


async def _get(
    fleet: Fleet, url: str, method: str = "GET", **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with fleet.http.request(method, url, headers=sent) as answer:
        return answer.status, answer.headers, await answer.read()


async def test_a_url_with_its_version_may_be_kept_for_good(
    fleet: Fleet, presets: dict[str, str]
) -> None:
    api = await fleet.start_api("api,workers", environment=presets)
    photo_id = await fleet.upload(api, PHOTO)
    old = _urls(await fleet.outcome(api, photo_id))
    new = _urls(await _again(fleet, api, photo_id, preset="marked"))
    (name,) = (n for n in old if n.endswith("-watermarked") and n.startswith("1280"))
    assert old[name] != new[name]
    assert old["640"] == new["640"]
    for url, cache in (
        (new[name], "public, max-age=31536000, immutable"),
        (old[name], "no-cache"),
        (new["640"], "public, max-age=31536000, immutable"),
        (new[name].split("?")[0], "public, max-age=86400"),
        (f"/photos/{photo_id}/original", "private, max-age=31536000"),
    ):
        status, headers, _ = await _get(fleet, api.url + url)
        assert (status, headers["Cache-Control"]) == (200, cache), url
    current = (await _get(fleet, api.url + new[name]))[2]
    assert (await _get(fleet, api.url + old[name]))[2] == current


async def test_parts_and_conditions(fleet: Fleet) -> None:
    api = await fleet.start_api()
    photo_id = await fleet.upload(api, PHOTO)
    url = f"{api.url}/photos/{photo_id}/original"
    data = PHOTO.read_bytes()
    etag = f'"{(await fleet.status(api, photo_id))["sha256"]}"'
    status, headers, body = await _get(fleet, url)
    assert (status, headers["ETag"], headers["Accept-Ranges"], body) == (200, etag, "bytes", data)
    assert "Last-Modified" not in headers
    assert (await _get(fleet, url, If_None_Match=etag))[0::2] == (304, b"")
    assert (await _get(fleet, url, If_Match=etag))[0] == 200
    for asked, part in (("bytes=5-9", data[5:10]), ("bytes=-7", data[-7:]), ("bytes=9-", data[9:])):
        for more in ({}, {"If_Range": etag}):
            status, headers, body = await _get(fleet, url, Range=asked, **more)
            assert (status, body) == (206, part)
            assert headers["Content-Range"].endswith(f"/{len(data)}")
            assert headers["ETag"] == etag
        assert (await _get(fleet, url, Range=asked, If_Range='"other"'))[0::2] == (200, data)
    status, headers, body = await _get(fleet, url, Range=f"bytes={len(data)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(data)}")
    assert headers["Content-Type"].startswith("application/problem+json")
    assert b'"range_not_satisfiable"' in body
    status, headers, body = await _get(fleet, url, If_Match='"other"')
    assert (status, headers["Content-Type"].split(";")[0]) == (412, "application/problem+json")
    assert b'"precondition_failed"' in body
    status, headers, body = await _get(fleet, url, "HEAD", Range="bytes=0-9")
    assert (status, headers["Content-Length"], body) == (200, str(len(data)), b"")
