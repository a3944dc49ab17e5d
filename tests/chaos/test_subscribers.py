"""A subscriber that is away for a while, under load."""

import asyncio
import os
import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from support.outcomes import watching_outcomes
from support.processes import SAMPLES, Fleet, RoleProcess, Space
from support.receiver import Receiver, receiving
from support.waiting import until

AWAY_S = float(os.environ.get("TEST_SUBSCRIBER_AWAY_S", "6"))
PAUSE_S = 0.4  # between uploads: about what two cores get through beside everything else


@pytest.mark.parametrize("away", ["notify", "archive", "monitor"])
async def test_a_subscriber_that_was_away_catches_up_and_the_others_notice_nothing(
    fleet: Fleet, space: Space, tmp_path: Path, away: str
) -> None:
    archive = tmp_path / "archive"
    async with receiving() as receiver, watching_outcomes(space) as watcher:
        environment = {
            "PHOTO_WEBHOOK_URLS": f"{receiver.url}/hook",
            "PHOTO_WEBHOOK_SECRET": "a secret of some length",
            "PHOTO_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32",
            "PHOTO_ARCHIVE_URL": archive.as_uri(),
        }
        api = await fleet.start_api("api,workers")
        running = {
            name: await fleet.start(name, environment=environment)
            for name in ("notify", "archive", "monitor")
        }
        # Killed in the middle of the first events, so that some come twice.
        ids = [await fleet.upload(api, SAMPLES / "cat-small.jpg") for _ in range(3)]
        running.pop(away).kill()
        ids += await _upload_for(fleet, api, AWAY_S)
        documents = await fleet.outcomes(api, ids)
        told = {f"{d['id']}:{d['revision']}" for d in documents}
        for name in running:
            await until(partial(_has_all, name, told, fleet, running, receiver, archive))
        running[away] = await fleet.start(away, environment=environment)
        if away == "monitor":  # what it counted before it was killed went with it
            events = await watcher.told(len(ids))
            assert {event.event_id for event in events} == told
            await until(lambda: _monitor_is_idle(fleet, running["monitor"], len(ids) - 3))
        for name in ("notify", "archive"):
            await until(partial(_has_all, name, told, fleet, running, receiver, archive))
        # At most what was in hand when it was killed may come twice, and says so by its id.
        heard = Counter(call.headers["webhook-id"] for call in receiver.calls)
        assert set(heard) == told
        assert sum(heard.values()) - len(told) <= (3 if away == "notify" else 0)
        marks = [path.parent.parent.name for path in archive.rglob("status.json")]
        assert sorted(marks) == sorted(ids), "an outcome was archived twice, or none"

        async def nothing_left() -> bool:
            return await watcher.left() == {}

        await until(nothing_left)


async def _upload_for(fleet: Fleet, api: RoleProcess, seconds: float) -> list[str]:
    loop = asyncio.get_running_loop()
    end, ids = loop.time() + seconds, []
    while loop.time() < end:
        ids.append(await fleet.upload(api, SAMPLES / "cat-small.jpg"))
        await asyncio.sleep(PAUSE_S)
    return ids


async def _has_all(
    name: str,
    told: set[str],
    fleet: Fleet,
    running: Mapping[str, RoleProcess],
    receiver: Receiver,
    archive: Path,
) -> bool:
    match name:
        case "notify":
            return {call.headers["webhook-id"] for call in receiver.calls} >= told
        case "archive":
            return len(list(archive.rglob("status.json"))) >= len(told)
        case _:
            return await _monitor_is_idle(fleet, running[name], len(told))


async def _monitor_is_idle(fleet: Fleet, monitor: RoleProcess, events: int) -> bool:
    async with fleet.http.get(f"{monitor.url}/metrics") as answer:
        text = await answer.text()
    (counted,) = re.findall(
        r'^photo_outcomes_total\{status="done"\} (\S+)$', text, re.MULTILINE
    ) or [0]
    return float(counted) >= events
