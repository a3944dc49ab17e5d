"""Where photos wait, as an operator sees it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from support.processes import SAMPLES, Fleet, RoleProcess
from support.waiting import until

PHOTO = SAMPLES / "cat-small.jpg"
LATER = {"PHOTO_RETRY_DELAYS_S": "300"}  # longer than the test


async def _queues(fleet: Fleet, api: RoleProcess) -> dict[str, Any]:
    async with fleet.http.get(f"{api.url}/queues") as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Cache-Control"] == "no-store"
        found: dict[str, Any] = await answer.json()
        return found


async def _until(
    fleet: Fleet, api: RoleProcess, stage: str, fact: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    async def seen() -> dict[str, Any] | None:
        found = await _queues(fleet, api)
        row: dict[str, Any] = next(s for s in found["stages"] if s["stage"] == stage)
        return row if fact(row) else None

    row = await until(seen)
    assert row is not None
    return row


async def test_the_queues_of_an_idle_pipeline(fleet: Fleet) -> None:
    api = await fleet.start_api()
    found = await _queues(fleet, api)
    assert [s["stage"] for s in found["stages"]] == ["resize", "watermark", "detect"]
    for row in found["stages"]:
        numbers = {k: v for k, v in row.items() if k not in ("stage", "queue", "oldest_s")}
        assert set(numbers.values()) == {0}, row
        assert row["oldest_s"] is None
        assert row["queue"].endswith(f".{row['stage']}")
    (monitor,) = (s for s in found["subscribers"] if s["subscriber"] == "monitor")
    assert (monitor["ready"], monitor["dead"], monitor["consumers"]) == (0, 0, 0)


async def test_where_photos_wait_run_and_fail_is_seen(fleet: Fleet, tmp_path: Path) -> None:
    api = await fleet.start_api(environment=LATER)
    ids = [await fleet.upload(api, PHOTO) for _ in range(2)]
    row = await _until(fleet, api, "resize", lambda row: row["ready"] == 2)
    assert (row["consumers"], row["running"]) == (0, 0)
    assert row["oldest_s"] > 0
    for photo_id in ids:  # none may be in the way of what is held below
        async with fleet.http.delete(f"{api.url}/photos/{photo_id}") as answer:
            assert answer.status == 202
    row = await _until(fleet, api, "resize", lambda row: row["oldest_s"] is None)
    resize = await fleet.start("resize", environment=LATER)
    await _until(fleet, api, "resize", lambda row: row["ready"] == 0 and row["consumers"] == 1)

    held = psutil.Process(resize.pid).children(recursive=True)
    for process in held:
        process.suspend()
    for _ in range(3):
        await fleet.upload(api, PHOTO)
    row = await _until(fleet, api, "resize", lambda row: (row["running"], row["ready"]) == (1, 2))
    assert (row["consumers"], row["retrying"], row["dead"]) == (1, 0, 0)
    assert row["oldest_s"] > 0

    for process in held:  # its photo is to be tried again, the others go on
        process.kill()
    row = await _until(fleet, api, "resize", lambda row: (row["retrying"], row["ready"]) == (1, 0))
    waiting = await _until(fleet, api, "watermark", lambda row: row["ready"] == 2)
    assert (waiting["consumers"], waiting["running"]) == (0, 0)
    assert waiting["oldest_s"] > 0
    row = await _until(fleet, api, "resize", lambda row: row["rate"] > 0)

    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(PHOTO.read_bytes()[:20_000])
    photo_id = await fleet.upload(api, truncated)
    assert (await fleet.outcome(api, photo_id))["status"] == "failed"
    row = await _until(fleet, api, "resize", lambda row: row["dead"] == 1)
    assert (row["running"], row["retrying"], row["oldest_s"]) == (0, 1, None)
