"""The loss proof in small; and that it does tell of a loss."""

import asyncio
import json
import os
import sys
from pathlib import Path

from photo_pipeline.soak.fleet import KILLABLE
from photo_pipeline.soak.plan import BROKER, KINDS, Action, Fault, Plan, make_plan
from photo_pipeline.soak.soak import Report, run
from support.processes import ROOT

PHOTOS = 60


async def test_60_photos_under_random_kills_all_come_out(tmp_path: Path) -> None:
    soak = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "photo_pipeline", "soak", "--json", "--data", str(tmp_path)),
        *("--photos", str(PHOTOS), "--kill", ",".join(KINDS), "--seed", "4"),
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(soak.communicate(), timeout=400)
    assert soak.returncode == 0, (out.decode(), err.decode()[-4000:])
    report = json.loads(out)
    assert report["proof"] == (
        f"{PHOTOS} in = {PHOTOS} terminal, 0 lost, 0 stuck, 0 duplicate outcomes"
    )
    assert {"kill broker", "kill mongo"} <= set(report["faults"])
    assert sum(n for fault, n in report["faults"].items() if fault.startswith("kill ")) > 5


ACK_FIRST = """
from aio_pika.message import IncomingMessage
from photo_pipeline.broker.deliveries import Deliveries
ack, on_message = IncomingMessage.ack, Deliveries.on_message
async def ack_once(self, *args, **kwargs):
    if not self.processed:
        await ack(self, *args, **kwargs)
async def ack_first(self, message):
    await message.ack()
    await on_message(self, message)
IncomingMessage.ack, Deliveries.on_message = ack_once, ack_first
"""
"""Acknowledges a message before what it causes is durable."""

NO_OUTBOX = """
from photo_pipeline.storage.photos import MongoPhotos
insert = MongoPhotos.insert
async def insert_without_debt(self, photo):
    inserted = await insert(self, photo)
    await self.paid(photo.id, photo.run)
    return inserted
MongoPhotos.insert = insert_without_debt
"""
"""Keeps a photo, and does not keep that its first message is still owed."""


async def _sabotaged(plan: Plan, line: str, tmp_path: Path) -> Report:
    plugin = tmp_path / "plugin" / "sitecustomize.py"
    plugin.parent.mkdir()
    # Only in the roles: the soak itself, and the children of a stage, stay as they are.
    body = "".join(f"    {line}\n" for line in line.strip().splitlines())
    plugin.write_text(f'import sys\nif "--role" in sys.orig_argv:\n{body}')
    path = os.pathsep.join(map(str, (plugin.parent, ROOT / "src")))
    return await run(plan, tmp_path / "soak", patience_s=20, environment={"PYTHONPATH": path})


async def test_it_tells_of_a_worker_that_acknowledges_too_early(tmp_path: Path) -> None:
    plan = make_plan(photos=40, kinds={"workers"}, seed=1, workers=KILLABLE)
    report = await _sabotaged(plan, ACK_FIRST, tmp_path)
    assert not report.verdict.proven, report.verdict.line
    assert report.verdict.stuck, report.verdict.line


async def test_it_tells_of_an_upload_without_an_outbox(tmp_path: Path) -> None:
    # Away for longer than the API goes on trying to publish.
    away = Fault(2.0, BROKER, Action.KILL, for_s=20.0)
    plan = Plan(seed=1, photos=20, duration_s=24.0, faults=(away,))
    report = await _sabotaged(plan, NO_OUTBOX, tmp_path)
    assert not report.verdict.proven, report.verdict.line
    assert report.verdict.stuck, report.verdict.line
    assert report.verdict.accepted == 20, "they were answered with 202"
