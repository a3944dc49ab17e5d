"""The loss proof: it holds, it can fail, and it leaves nothing behind."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from support.processes import ROOT
from support.waiting import until

BROKEN: Final = ROOT / "tests" / "broken"
WITHIN_S: Final = 240  # a busy machine; at rest it takes a minute


@dataclass(frozen=True, slots=True)
class Soak:
    """A soak that has ended."""

    status: int | None
    said: str
    report: dict[str, Any]


async def _start(folder: Path, *arguments: str, broken: str = "") -> Process:
    """Run ``photo-pipeline soak``, its temporary folder below *folder*."""
    folder.mkdir()
    sources = [ROOT / "src", *([BROKEN / broken] if broken else [])]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "photo_pipeline", "soak", "--json", *arguments),
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, sources)),
            "TMPDIR": str(folder),
        },
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )


async def _soak(folder: Path, *arguments: str, broken: str = "") -> Soak:
    process = await _start(folder, *arguments, broken=broken)
    try:
        async with asyncio.timeout(WITHIN_S):
            out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    print(said.decode())  # noqa: T201  # pytest shows it with a failure
    return Soak(process.returncode, said.decode(), json.loads(out))


def _left_behind(folder: Path) -> list[str]:
    """Return the processes that work for the soak in *folder*: all know where that is."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values(), process.cwd()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(folder) in word for word in words):
            found.append(" ".join(process.cmdline()))
    return found


async def test_60_photos_survive_killed_workers_broker_and_database(tmp_path: Path) -> None:
    soak = await _soak(
        tmp_path / "soak", "--photos", "60", "--kill", "workers,broker,mongo", "--seed", "1"
    )
    proof = "60 in = 60 terminal, 0 lost, 0 stuck, 0 duplicate outcomes"
    assert soak.report["proof"] == proof
    assert soak.status == 0
    assert proof in soak.said
    assert (soak.report["accepted"], soak.report["terminal"]) == (60, 60)
    killed = {fault["target"] for fault in soak.report["faults"] if fault["action"] == "kill"}
    assert {"broker", "mongo"} < killed
    assert list((tmp_path / "soak").iterdir()) == []
    assert _left_behind(tmp_path / "soak") == []


async def test_a_pipeline_with_one_broken_line_fails_the_proof(tmp_path: Path) -> None:
    """Side by side: a broken pipeline needs a while of no movement to be convicted."""
    # This seed kills both stages and the API while photos come in.
    options = ("--photos", "30", "--kill", "workers", "--patience", "20", "--seed", "72")
    soaks = await asyncio.gather(
        _soak(tmp_path / "ack", *options, broken="ack_before_publish"),
        _soak(tmp_path / "debt", *options, broken="no_outbox"),
    )
    for soak in soaks:
        assert soak.status == 1
        assert not soak.report["proven"]
        assert soak.report["stuck"]
        assert soak.report["accepted"] == 30
        assert soak.report["terminal"] < 30
        assert "kept in" in soak.said
    acknowledged_first, without_outbox = (_places(soak) for soak in soaks)
    assert acknowledged_first == {"in no queue"}
    assert without_outbox == {"owed its first message"}


def _places(soak: Soak) -> set[str]:
    return {photo["where"].rpartition(", ")[2] for photo in soak.report["stuck"]}


async def test_an_interrupted_soak_leaves_neither_process_nor_file(tmp_path: Path) -> None:
    folder = tmp_path / "soak"
    process = await _start(folder, "--photos", "500", "--seed", "1")
    try:

        async def fleet_runs() -> bool:
            return sum("--role" in line for line in _left_behind(folder)) > 3

        await until(fleet_runs, within_s=60)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 1, said.decode()
    assert "interrupted" in said.decode()
    assert _left_behind(folder) == []
    assert list(folder.iterdir()) == []
