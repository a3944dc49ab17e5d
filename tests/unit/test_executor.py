"""The sandbox, with real child processes and a stage of the tests' own."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import psutil
import pytest
import structlog

from photo_pipeline.domain.stage import ORIGINAL
from photo_pipeline.errors import (
    DecoderCrashedError,
    FidelityViolationError,
    MemoryLimitError,
    PrivacyViolationError,
    RetryableError,
    StageTimeoutError,
    UnexpectedError,
    UnreadableImageError,
)
from photo_pipeline.settings import MIB, WorkSettings
from photo_pipeline.worker.executor import Sandbox, sandbox
from support.waiting import until

ODD_STAGE = '''
"""Does what its input says."""
import os, socket, time
from photo_pipeline.domain.receipt import FidelityReceipt, PrivacyReceipt, Receipt
from photo_pipeline.domain.stage import Output, Parameters, Stage
from photo_pipeline.errors import FidelityViolationError, PrivacyViolationError
from photo_pipeline.errors import UnreadableImageError

class Nothing(Parameters):
    """None."""

def transform(inputs, parameters):
    match bytes(inputs["original"]).decode().split():
        case ["die"]: os._exit(7)
        case ["abort"]: os.abort()
        case ["hang"]: time.sleep(600)
        case ["eat"]: bytearray(4 * 1024**3)
        case ["refuse"]: raise UnreadableImageError("no picture")
        case ["leak"]: raise PrivacyViolationError("rendition 640: gps: 1")
        case ["distort"]: raise FidelityViolationError("rendition 640: ssim: 0.1 < 0.75")
        case ["stumble"]: raise ZeroDivisionError("1/0")
        case ["print"]: print("stray output"); return Output(facts={"printed": True})
        case ["inherited"]:
            opened = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
            links = {path: os.readlink(path) for path in opened if os.path.lexists(path)}
            secrets = [k for k in os.environ if k.startswith("PHOTO_")]
            return Output(facts={"files": links, "secrets": secrets})
        case _: return Output(facts={"pid": os.getpid(), "bytes": len(inputs["original"])})

def check(inputs, outputs, parameters):
    if inputs["original"] == b"hang": time.sleep(600)
    if inputs["original"] == b"refuse": raise UnreadableImageError("no picture")
    return {name: Receipt(
        privacy=PrivacyReceipt(found={"bytes": len(data)}, kept={"os": str(os.getpid())}),
        fidelity=FidelityReceipt(ssim=0.5, colour_difference=len(inputs["original"])),
    ) for name, data in outputs.items()}

STAGE = Stage(
    version=1, parameters=Nothing, transform=transform, reads=lambda _: ("original",), check=check
)
'''


@pytest.fixture
def inheritable(tmp_path: Path) -> Iterator[None]:
    """Open what a worker has open, and let any child inherit it that is not kept from it."""
    with ExitStack() as stack:
        ours, theirs = socket.socketpair()
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        file = stack.enter_context((tmp_path / "photo").open("wb"))
        stack.enter_context(ours)
        stack.enter_context(theirs)
        for opened in (ours, theirs, listening):
            opened.set_inheritable(True)
        os.set_inheritable(file.fileno(), True)
        yield


@pytest.fixture
async def pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inheritable: None
) -> AsyncIterator[Sandbox]:
    # A sitecustomize makes the odd stage a part of the package in the child, and only there.
    (tmp_path / "odd.py").write_text(ODD_STAGE)
    (tmp_path / "sitecustomize.py").write_text(
        f"import photo_pipeline.stages as s; s.__path__.append({str(tmp_path)!r})"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), "src"]))
    monkeypatch.setenv("PHOTO_AMQP_URL", "amqp://user:secret@host/")
    settings = WorkSettings(stage_timeout_s=1, stage_memory_bytes=512 * MIB)
    async with sandbox("odd", settings) as pool:
        yield pool


async def _run(pool: Sandbox, command: str) -> dict[str, object]:
    return dict((await pool.run({ORIGINAL: command.encode()}, {})).facts)


@pytest.mark.parametrize(
    ("command", "error", "told"),
    [
        ("die", DecoderCrashedError, "status 7"),
        ("abort", DecoderCrashedError, "SIGABRT"),
        ("hang", StageTimeoutError, "1 s"),
        ("eat", MemoryLimitError, "memory"),
        ("refuse", UnreadableImageError, "no picture"),
        ("stumble", UnexpectedError, "ZeroDivisionError: 1/0"),
        ("leak", PrivacyViolationError, "rendition 640: gps: 1"),
        ("distort", FidelityViolationError, "ssim: 0.1"),
    ],
)
async def test_trouble_costs_this_photo_only(
    pool: Sandbox, command: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        await _run(pool, command)
    assert (await _run(pool, "hello"))["bytes"] == 5


@pytest.mark.parametrize("command", ["die", "hang"])
async def test_the_next_photo_waits_for_one_restart_at_most(pool: Sandbox, command: str) -> None:
    with structlog.testing.capture_logs() as lines:
        with pytest.raises(RetryableError):
            await _run(pool, command)
        assert (await _run(pool, "hello"))["bytes"] == 5
        assert (await _run(pool, "hello"))["bytes"] == 5
    assert [line["event"] for line in lines].count("child.started") == 1


async def test_a_healthy_child_is_kept(pool: Sandbox) -> None:
    first = await _run(pool, "hello")
    with pytest.raises(UnreadableImageError):
        await _run(pool, "refuse")
    assert (await _run(pool, "hello"))["pid"] == first["pid"]


async def test_what_was_written_is_checked_in_a_child(pool: Sandbox) -> None:
    child = (await _run(pool, "hello"))["pid"]
    receipts = await pool.check({ORIGINAL: b"1234"}, {"640": b"ab", "320": b""}, {})
    assert {name: one.privacy.found for name, one in receipts.items()} == {
        "640": {"bytes": 2},
        "320": {"bytes": 0},
    }
    assert receipts["640"].privacy.kept == {"os": str(child)}
    assert receipts["640"].fidelity.colour_difference == 4


@pytest.mark.parametrize(
    ("command", "error"), [(b"hang", StageTimeoutError), (b"refuse", UnreadableImageError)]
)
async def test_trouble_with_a_check_is_told_as_of_a_transform(
    pool: Sandbox, command: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await pool.check({ORIGINAL: command}, {"640": b"ab"}, {})
    assert (await _run(pool, "hello"))["bytes"] == 5


async def test_stray_output_breaks_nothing(pool: Sandbox) -> None:
    assert await _run(pool, "print") == {"printed": True}
    assert (await _run(pool, "hello"))["bytes"] == 5


async def test_the_child_inherits_nothing_but_its_pipes_and_no_secret(pool: Sandbox) -> None:
    facts = await _run(pool, "inherited")
    assert facts["secrets"] == []
    files = dict(cast("dict[str, str]", facts["files"]))
    standard = [files.pop(f"/proc/self/fd/{n}") for n in range(3)]
    ours = str(Path("/proc/self/fd/2").readlink())
    assert standard == [os.devnull, ours, ours]
    # Requests and replies: nothing that leads anywhere but to its parent.
    others = [link for link in files.values() if link != os.devnull]
    assert len(others) == 2, files
    assert all(link.startswith("pipe:") for link in others), files


async def test_large_input_passes(pool: Sandbox) -> None:
    output = await pool.run({ORIGINAL: b"x" * (30 * MIB)}, {})
    assert output.facts["bytes"] == 30 * MIB


async def test_a_killed_child_is_told_and_replaced(pool: Sandbox) -> None:
    before = await _run(pool, "hello")
    running = asyncio.create_task(_run(pool, "hang"))
    await asyncio.sleep(0)
    os.kill(int(str(before["pid"])), signal.SIGKILL)
    with pytest.raises(DecoderCrashedError, match="SIGKILL"):
        await running
    assert (await _run(pool, "hello"))["pid"] != before["pid"]


async def test_a_cancelled_run_ends_its_child(pool: Sandbox) -> None:
    before = await _run(pool, "hello")
    running = asyncio.create_task(_run(pool, "hang"))
    await asyncio.sleep(0.1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await _run(pool, "hello"))["pid"] != before["pid"]
    await until(lambda: _gone(int(str(before["pid"]))))


async def _gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


async def test_a_child_that_dies_while_idle_costs_no_photo(pool: Sandbox) -> None:
    before = int(str((await _run(pool, "hello"))["pid"]))
    os.kill(before, signal.SIGKILL)
    await until(lambda: _gone(before))
    assert (await _run(pool, "hello"))["pid"] != before


async def test_signals_to_a_whole_group_leave_the_child_to_its_parent(pool: Sandbox) -> None:
    before = int(str((await _run(pool, "hello"))["pid"]))
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(before, number)
    assert (await _run(pool, "hello"))["pid"] == before
    assert os.getpgid(before) != os.getpgid(0)


async def test_after_a_memory_error_the_child_is_replaced(pool: Sandbox) -> None:
    before = (await _run(pool, "hello"))["pid"]
    with pytest.raises(MemoryLimitError):
        await _run(pool, "eat")
    assert (await _run(pool, "hello"))["pid"] != before


async def test_no_child_is_left(pool: Sandbox) -> None:
    child = psutil.Process(int(str((await _run(pool, "hello"))["pid"])))
    await pool.close()
    assert not child.is_running()


async def test_a_stage_that_cannot_start_is_told() -> None:
    with pytest.raises(DecoderCrashedError, match="status 1"):
        async with sandbox("no_such_stage", WorkSettings()):
            pass
