"""A broker that loses its disk: the status documents know what it had, reconcile sends it again."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from photo_pipeline.embedded.launcher import EmbeddedServers, embedded_servers
from support.outcomes import watching_outcomes
from support.processes import ROOT, SAMPLES, Fleet, Space
from support.waiting import until

PHOTO = SAMPLES / "rocket-adobe-rgb.jpg"
PHOTOS = 10

IMPATIENT = """
import functools
from photo_pipeline import roles
roles.Search = functools.partial(roles.Search, margin_s=1)
roles.LOST_EVERY_S = 0.5
"""
"""Runs in the role's process before all else: the role as it is, but for its minute of patience."""


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[EmbeddedServers]:
    """Servers of this test's own: it wipes one."""
    async with embedded_servers(tmp_path / "servers") as servers:
        yield servers


async def test_a_broker_that_lost_everything_gets_back_one_message_for_each_photo(
    fleet: Fleet, space: Space, servers: EmbeddedServers, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(IMPATIENT)
    path = os.pathsep.join(map(str, (tmp_path, ROOT / "src")))
    api = await fleet.start_api("api")
    await fleet.start("reconcile", environment={"PYTHONPATH": path})
    ids = [await fleet.upload(api, PHOTO) for _ in range(PHOTOS)]

    async def waiting() -> bool:
        async with fleet.http.get(f"{api.url}/queues") as answer:
            stages = (await answer.json()).get("stages", [])
        return [row["ready"] for row in stages if row["stage"] == "resize"] == [PHOTOS]

    await until(waiting)
    await servers.rabbitmq.kill()
    shutil.rmtree(tmp_path / "servers" / "rabbitmq" / "mnesia")
    await servers.rabbitmq.start()
    await until(waiting, within_s=60)
    async with watching_outcomes(space) as watcher:
        await fleet.start("workers")
        documents = await fleet.outcomes(api, ids)
        assert {d["status"] for d in documents} == {"done"}
        # One message each: nobody was begun twice.
        assert {s["attempts"] for d in documents for s in d["stages"]} == {1}
        events = await until(watcher.events)
        assert sorted(event.photo_id for event in events) == sorted(ids)
