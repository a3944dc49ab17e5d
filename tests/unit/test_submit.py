"""``submit`` against a small service on a loopback port that plays given lives of photos."""

import asyncio
import json
import os
import signal
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import BodyPartReader, web
from aiohttp.test_utils import TestServer, unused_port
from multidict import CIMultiDict, CIMultiDictProxy
from rich.console import Console

from photo_pipeline.api.idempotency import idempotency_key
from photo_pipeline.client import follow, patience, send
from photo_pipeline.client.answers import (
    BusyError,
    RefusedError,
    UnexpectedAnswerError,
    refusal,
    retry_after_s,
)
from photo_pipeline.client.bars import Bars, describe, visible
from photo_pipeline.client.batch import submit_all
from photo_pipeline.client.files import find_photos, labels
from photo_pipeline.client.progress import Phase, Progress
from photo_pipeline.client.result import Ending, SubmitResult
from photo_pipeline.client.service import base_url, shown_url
from photo_pipeline.client.submit import submit
from photo_pipeline.client.table import duration, print_table
from photo_pipeline.domain.document import status_document
from photo_pipeline.domain.messages import status_events
from photo_pipeline.domain.photo import (
    Photo,
    PhotoError,
    Rendition,
    StageError,
    StageSlot,
    TimelineEntry,
)
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.status import EventType, PhotoStatus, StageStatus

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = {
    "queued": EventType.PHOTO_QUEUED,
    "started": EventType.STAGE_STARTED,
    "done": EventType.STAGE_DONE,
    "retrying": EventType.STAGE_RETRYING,
    "failed": EventType.STAGE_FAILED,
    "DONE": EventType.PHOTO_DONE,
    "FAILED": EventType.PHOTO_FAILED,
    "DELETED": EventType.PHOTO_DELETED,
}
STATUS_AFTER = {
    EventType.STAGE_STARTED: StageStatus.RUNNING,
    EventType.STAGE_DONE: StageStatus.DONE,
    EventType.STAGE_RETRYING: StageStatus.RETRYING,
    EventType.STAGE_FAILED: StageStatus.FAILED,
}
FIRST_ID = "01890a5d-ac96-774b-bcce-000000000000"
CRASHED = StageError(code="decoder_crashed", message="The process [died].", retryable=True)

GOOD = "queued resize:started resize:done detect:started detect:done DONE"
RETRIED = (
    "queued resize:started resize:retrying resize:started resize:done "
    "detect:started detect:done DONE"
)
BAD = "queued resize:started resize:retrying resize:started resize:failed FAILED"
UNENDED = "queued resize:started"
DELETED = "queued resize:started DELETED"


def life(steps: str) -> list[TimelineEntry]:
    """Return a timeline from words: ``stage:what``, one every 100 ms."""
    entries = []
    for number, step in enumerate(steps.split()):
        stage, _, what = step.rpartition(":")
        bad = what in {"retrying", "failed", "FAILED"}
        entries.append(
            TimelineEntry(
                at=BEGIN + timedelta(milliseconds=100 * number),
                type=STEPS[what],
                stage=stage or None,
                error=CRASHED if bad else None,
            )
        )
    return entries


def photo_after(photo_id: str, filename: str, entries: Sequence[TimelineEntry]) -> Photo:
    """Return the photo with everything that *entries* tell."""
    slots = {"resize": StageSlot(queued_at=BEGIN), "detect": StageSlot()}
    status, error, finished_at = PhotoStatus.QUEUED, None, None
    for entry in entries:
        match entry.type:
            case EventType.PHOTO_DONE:
                status, finished_at = PhotoStatus.DONE, entry.at
            case EventType.PHOTO_FAILED:
                status, finished_at = PhotoStatus.FAILED, entry.at
                error = PhotoError(code=CRASHED.code, message=CRASHED.message, stage="resize")
            case EventType.PHOTO_DELETED:
                status = PhotoStatus.DELETED
            case EventType.PHOTO_QUEUED:
                pass
            case _:
                assert entry.stage
                slots[entry.stage] = slot_after(slots[entry.stage], entry)
                status = PhotoStatus.PROCESSING
    return Photo(
        id=photo_id,
        status=status,
        revision=len(entries),
        filename=filename,
        format="jpeg",
        content_type="image/jpeg",
        bytes=3,
        sha256="0" * 64,
        width=40,
        height=30,
        preset=Preset(name="web", stages={}),
        pipeline=tuple(slots),
        original="originals/x",
        traceparent="",
        created_at=BEGIN,
        updated_at=entries[-1].at,
        finished_at=finished_at,
        stages=slots,
        timeline=tuple(entries),
        error=error,
    )


def slot_after(slot: StageSlot, entry: TimelineEntry) -> StageSlot:
    """Return the stage after one more change; each stage makes one rendition of 500 bytes."""
    changes: dict[str, Any] = {"status": STATUS_AFTER[entry.type], "error": entry.error}
    if entry.type is EventType.STAGE_STARTED:
        changes |= {"attempts": slot.attempts + 1, "started_at": entry.at}
    if entry.type is EventType.STAGE_DONE:
        name = f"{entry.stage}-40"
        made = Rendition(
            name=name,
            stage=entry.stage,
            format="webp",
            content_type="image/webp",
            width=40,
            height=30,
            bytes=500,
            sha256="0" * 64,
            key=name,
        )
        changes |= {"finished_at": entry.at, "renditions": (made,)}
    return slot.model_copy(update=changes)


@dataclass
class Fake:
    """The service: every photo's life by file name, and what it was asked."""

    lives: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, list[web.Response]] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)  # frames per stream before it is cut
    skips: list[int] = field(default_factory=list)  # revisions that are left out, once each
    no_websocket: bool = False
    hangs: bool = False  # streams stay open without an outcome
    down: bool = False  # takes uploads and tells nothing of them
    hasty: bool = False  # refuses after the first bytes, while the others are under way
    lost: int = 0  # answers to uploads that never arrive
    closes: bool = False  # stops listening when the first upload comes
    names: dict[str, str] = field(default_factory=dict)
    sinces: list[str | None] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    presets: list[str] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)
    polls: int = 0
    url: str = ""
    stop_listening: Callable[[], Awaitable[None]] | None = None

    async def upload(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["Idempotency-Key"])
        if self.closes and self.stop_listening and request.transport:
            await self.stop_listening()
            request.transport.abort()
        name = ""
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "preset":
                self.presets.append(await part.text())
                continue
            name, size = part.filename or "", 0
            if self.hasty:
                await part.read_chunk(65536)
                return problem(415, "unsupported_format")
            while chunk := await part.read_chunk(65536):
                size += len(chunk)
            self.bytes[name] = size
        if self.lost and request.transport:
            self.lost -= 1
            request.transport.abort()
        if waiting := self.refusals.get(name):
            return waiting.pop(0)
        photo_id = f"01890a5d-ac96-774b-bcce-{len(self.names):012}"
        self.names[photo_id] = name
        return web.json_response({"id": photo_id, "status": "queued"}, status=202)

    def photo(self, photo_id: str, revision: int | None = None) -> Photo:
        if photo_id not in self.names:
            raise web.HTTPNotFound(
                text=json.dumps({"code": "unknown_photo", "detail": "There is no such photo."})
            )
        entries = life(self.lives.get(self.names[photo_id], GOOD))
        return photo_after(photo_id, self.names[photo_id], entries[:revision])

    async def status(self, request: web.Request) -> web.Response:
        self.polls += 1
        if self.down:
            return problem(503, "store_unavailable")
        photo = self.photo(request.match_info["id"])
        return web.Response(text=status_document(photo).model_dump_json())

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self.sinces.append(request.query.get("since"))
        if self.down or self.no_websocket:
            return problem(503 if self.down else 426, "no_stream")
        since = int(request.query.get("since", 1))
        photo = self.photo(request.match_info["id"])
        frames = []
        if "since" not in request.query:
            document = status_document(self.photo(photo.id, 1)).model_dump(mode="json")
            frames.append(json.dumps({"type": "snapshot", "revision": 1, "photo": document}))
        for event in status_events(photo, since):
            if event.revision in self.skips:
                self.skips.remove(event.revision)
            else:
                frames.append(event.encode().decode())
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        cut = self.cuts.pop(0) if self.cuts else None
        for frame in frames[:cut]:
            await socket.send_str(frame)
        if self.hangs:
            await socket.receive()
        if cut == 0 and request.transport:
            request.transport.abort()  # as a network does
        await socket.close(code=1000 if cut is None else 1013)
        return socket


@asynccontextmanager
async def serving(fake: Fake) -> AsyncIterator[Fake]:
    app = web.Application()
    app.add_routes(
        [
            web.post("/upload/", fake.upload),
            web.get("/status/{id}", fake.status),
            web.get("/ws/{id}", fake.stream),
        ]
    )
    async with TestServer(app) as server:
        fake.url = str(server.make_url("")).rstrip("/")
        if server.runner:
            fake.stop_listening = next(iter(server.runner.sites)).stop
        yield fake


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait next to nothing between tries."""
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(patience, "LONGEST_PAUSE_S", 0.001)


def files_in(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"abc")
    return paths


def problem(status: int, code: str, **headers: str) -> web.Response:
    body = {"title": "No", "status": status, "code": code, "detail": f"Because of {code}."}
    return web.json_response(
        body, status=status, content_type="application/problem+json", headers=headers
    )


async def run(paths: Sequence[Path], url: str, *, as_json: bool = False) -> int:
    return await submit(paths, url=url, preset=None, as_json=as_json)


# ---------------------------------------------------------------- outcomes


async def test_all_done_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files_in(tmp_path, "b.jpg", "a.png", "sub/c.webp")
    async with serving(Fake(lives={"b.jpg": RETRIED})) as fake:
        assert await run([tmp_path], fake.url, as_json=True) == 0
    results = json.loads(capsys.readouterr().out)
    assert [Path(r["file"]).name for r in results] == ["a.png", "b.jpg", "c.webp"]
    retried = results[1]
    assert fake.names[retried["id"]] == "b.jpg"
    assert retried["status"] == "done"
    assert retried["error"] is None
    assert retried["stages"][0] == {
        "name": "resize",
        "status": "done",
        "attempts": 2,
        "wait_ms": 300,
        "work_ms": 100,
    }
    assert retried["rendition_bytes"] == 1000
    url = retried["renditions"][0]["url"]
    assert url.startswith(f"{fake.url}/photos/{retried['id']}/resize-40?v=")
    assert 700 <= retried["total_ms"] < 5000


async def test_a_name_that_is_no_text_stops_nobody(tmp_path: Path) -> None:
    files_in(tmp_path, "good.jpg", os.fsdecode(b"\xff\xfe.jpg"))
    async with serving(Fake()) as fake:
        assert await run([tmp_path], fake.url) == 0
    assert len(fake.names) == 2


async def test_one_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files_in(tmp_path, "good.jpg", "bad.jpg")
    async with serving(Fake(lives={"bad.jpg": BAD})) as fake:
        assert await run([tmp_path], fake.url) == 1
    out = capsys.readouterr().out
    assert "failed  bad.jpg: decoder_crashed: The process [died]. (in resize)" in out
    assert "2 photos: 1 done, 1 failed; 2 renditions, 1.0 kB" in out
    assert "failed (2 tries)" in out
    assert "\x1b" not in out


async def test_a_refused_file_is_listed_with_its_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files_in(tmp_path, "good.jpg", "text.jpg")
    refusals = {"text.jpg": [problem(415, "unsupported_format")]}
    async with serving(Fake(refusals=refusals)) as fake:
        assert await run([tmp_path], fake.url) == 1
    out = capsys.readouterr().out
    assert "refused  text.jpg: unsupported_format: Because of unsupported_format." in out
    assert "1 done, 1 refused" in out


@pytest.mark.parametrize("gone", [True, False])
async def test_a_photo_deleted_meanwhile(tmp_path: Path, *, gone: bool) -> None:
    files = files_in(tmp_path, "a.jpg")
    async with serving(Fake(lives={"a.jpg": DELETED})) as fake:
        results = await submit_all(
            files, url=fake.url, watch=lambda _, p: fake.names.clear() if p.over and gone else None
        )
    assert results[0].status is Ending.DELETED


async def test_what_is_sent(tmp_path: Path) -> None:
    name = 'Grüße "1" 100%.jpg'
    files_in(tmp_path, name)
    async with serving(Fake()) as fake:
        assert await submit([tmp_path], url=fake.url + "/", preset="web", as_json=True) == 0
    assert fake.bytes == {name: 3}
    assert fake.presets == ["web"]


async def test_a_large_file_is_not_read_into_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.tif"
    with file.open("wb") as handle:
        handle.truncate(48_000_000)
    async with serving(Fake()) as fake:
        tracemalloc.start()
        try:
            assert await run([file], fake.url, as_json=True) == 0
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert fake.bytes == {"large.tif": 48_000_000}
    assert peak < 8_000_000


async def test_an_answer_before_the_end_of_the_upload_is_heard(tmp_path: Path) -> None:
    file = tmp_path / "film.jpg"
    with file.open("wb") as handle:
        handle.truncate(48_000_000)
    async with serving(Fake(hasty=True)) as fake:
        results = await submit_all([file], url=fake.url)
    assert results[0].status is Ending.REFUSED
    assert results[0].error
    assert results[0].error.code == "unsupported_format"
    assert len(fake.keys) == 1


# ---------------------------------------------------------------- connections


@pytest.mark.parametrize("cuts", [[3], [1, 1, 1, 1], [2, 0, 0, 1], [1, 0, 7]])
async def test_a_cut_stream_is_resumed_and_nothing_is_missed(
    tmp_path: Path, cuts: list[int]
) -> None:
    files = files_in(tmp_path, "a.jpg")
    seen: list[int] = []

    def watch(_: int, progress: Progress) -> None:
        if progress.phase is not Phase.RECONNECTING and progress.revision:
            seen.append(progress.revision)

    async with serving(Fake(cuts=list(cuts))) as fake:
        results = await submit_all(files, url=fake.url, watch=watch)
    assert results[0].status is Ending.DONE
    assert list(dict.fromkeys(seen)) == [1, 2, 3, 4, 5, 6]
    assert seen == sorted(seen)
    assert fake.sinces[0] is None
    assert fake.sinces[1] == str(cuts[0])
    assert fake.polls == 1  # the final document only


async def test_a_gap_is_closed_by_resuming(tmp_path: Path) -> None:
    files = files_in(tmp_path, "a.jpg")
    async with serving(Fake(skips=[3])) as fake:
        results = await submit_all(files, url=fake.url)
    assert results[0].status is Ending.DONE
    assert fake.sinces == [None, "2"]


async def test_asks_for_the_status_where_no_websocket_comes_through(tmp_path: Path) -> None:
    files = files_in(tmp_path, "a.jpg")
    async with serving(Fake(no_websocket=True)) as fake:
        results = await submit_all(files, url=fake.url)
    assert results[0].status is Ending.DONE
    assert len(fake.sinces) == 1
    assert fake.polls == 1


async def test_a_service_that_tells_nothing_more_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files_in(tmp_path, "a.jpg")
    monkeypatch.setattr(follow, "TRIES", 3)
    async with serving(Fake(down=True)) as fake:
        assert await asyncio.wait_for(run([tmp_path], fake.url, as_json=True), 10) == 1
    result = json.loads(capsys.readouterr().out)[0]
    assert result["id"] == FIRST_ID
    assert result["status"] == "unknown"
    assert result["error"]["code"] == "store_unavailable"
    assert len(fake.sinces) == 4


async def test_a_service_that_goes_away_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "UPLOAD_TRIES", 3)
    files = files_in(tmp_path, *(f"{n}.jpg" for n in range(9)))
    states: list[Progress] = []
    async with serving(Fake(closes=True)) as fake:
        results = await submit_all(
            files, url=fake.url, concurrency=1, watch=lambda _, p: states.append(p)
        )
    assert {r.status for r in results} == {Ending.UNREACHABLE}
    assert sum(p.phase is Phase.UPLOADING for p in states) == 3
    assert len(set(fake.keys)) <= 1


@pytest.mark.parametrize(
    ("status", "code"), [(503, "overloaded"), (503, "storage_full"), (409, "request_in_progress")]
)
async def test_comes_back_as_it_is_told(tmp_path: Path, status: int, code: str) -> None:
    files = files_in(tmp_path, "a.jpg")
    busy = problem(status, code, **{"Retry-After": "1"})
    phases: list[Any] = []
    async with serving(Fake(refusals={"a.jpg": [busy]})) as fake:
        began = time.monotonic()
        results = await submit_all(files, url=fake.url, watch=lambda _, p: phases.append(p.phase))
    assert time.monotonic() - began >= 1
    assert results[0].status is Ending.DONE
    assert phases[:4] == [Phase.UPLOADING, Phase.BUSY, Phase.UPLOADING, Phase.ACCEPTED]
    assert len(fake.keys) == 2
    assert len(set(fake.keys)) == 1  # so that it makes one photo whatever happened


async def test_an_upload_whose_answer_is_lost_is_sent_again_under_its_key(tmp_path: Path) -> None:
    files = files_in(tmp_path, "a.jpg", "b.jpg")
    async with serving(Fake(lost=3)) as fake:
        results = await submit_all(files, url=fake.url)
    assert [result.status for result in results] == [Ending.DONE] * 2
    assert (len(fake.keys), len(set(fake.keys))) == (5, 2)
    assert all(idempotency_key(CIMultiDictProxy(CIMultiDict(_named(key)))) for key in fake.keys)


def _named(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


@pytest.mark.parametrize(("wait", "asked"), [("0", 3), ("86400", 1)])
async def test_a_service_that_stays_busy_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: str, asked: int
) -> None:
    monkeypatch.setattr(send, "UPLOAD_TRIES", 3)
    files = files_in(tmp_path, "a.jpg")
    busy = [problem(503, "overloaded", **{"Retry-After": wait}) for _ in range(9)]
    async with serving(Fake(refusals={"a.jpg": busy})) as fake:
        results = await submit_all(files, url=fake.url)
    assert results[0].status is Ending.REFUSED
    assert results[0].error == PhotoError(code="overloaded", message="Because of overloaded.")
    assert len(fake.keys) == asked


async def test_nobody_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files_in(tmp_path, "a.jpg")
    url = f"http://127.0.0.1:{unused_port()}"
    assert await run([tmp_path], url) == 1
    told = capsys.readouterr()
    assert told.err == f"cannot reach {url}: connection refused; is the service running?\n"
    assert told.out == ""
    assert await run([tmp_path], url, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)[0]["status"] == "unreachable"


async def test_no_web_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files_in(tmp_path, "a.jpg")
    assert await run([tmp_path], "ftp://here") == 1
    assert "cannot reach ftp://here: not a web address" in capsys.readouterr().err
    assert str(base_url("localhost:8000/")) == "http://localhost:8000"
    assert str(base_url("https://host/photos/") / "ws") == "https://host/photos/ws"
    assert shown_url("http://me:secret@host:8000/") == "http://host:8000"


async def test_not_more_uploads_at_once_than_asked_for(tmp_path: Path) -> None:
    files = files_in(tmp_path, *(f"{n:02}.jpg" for n in range(20)))
    phases: dict[int, Any] = {}
    most = 0

    def watch(number: int, progress: Progress) -> None:
        nonlocal most
        phases[number] = progress.phase
        most = max(most, list(phases.values()).count(Phase.UPLOADING))

    async with serving(Fake()) as fake:
        results = await submit_all(files, url=fake.url, concurrency=3, watch=watch)
    assert most == 3
    assert [fake.names[r.photo_id or ""] for r in results] == [file.name for file in files]


async def test_ctrl_c(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files_in(tmp_path, "a.jpg")
    callers_own = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, callers_own.set)
    async with serving(Fake(lives={"a.jpg": UNENDED}, hangs=True)) as fake:
        running = asyncio.create_task(run([tmp_path], fake.url))
        while not fake.sinces:  # bounded by the test's time limit
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        assert await asyncio.wait_for(running, 5) == 130
    told = capsys.readouterr()
    assert "interrupted" in told.err
    assert FIRST_ID in told.out
    callers_own.clear()
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(callers_own.wait(), 5)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)


# ---------------------------------------------------------------- files


def test_a_folder_stands_for_its_photos(tmp_path: Path) -> None:
    files_in(
        tmp_path,
        *("b.JPG", "a.avif", "sub/c.tiff", ".hidden.jpg", ".dir/d.jpg", "notes.txt", "e.gif/f.png"),
    )
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere")
    found = [file.relative_to(tmp_path).as_posix() for file in find_photos([tmp_path])]
    assert found == ["a.avif", "b.JPG", "e.gif/f.png", "sub/c.tiff"]


def test_what_is_named_is_sent_and_once(tmp_path: Path) -> None:
    text, photo = files_in(tmp_path, "notes.txt", "a.jpg")
    missing = tmp_path / "missing.jpg"
    assert find_photos([text, tmp_path, photo, missing]) == [text, photo, missing]


def test_labels_are_short_and_harmless() -> None:
    assert labels([Path("/x/a/1.jpg"), Path("/x/b/2.jpg")]) == ["a/1.jpg", "b/2.jpg"]
    assert labels([Path("/x/a/1.jpg")]) == ["1.jpg"]
    assert labels([Path("samples/1.jpg"), Path("/elsewhere/2.jpg")]) == [
        "samples/1.jpg",
        "/elsewhere/2.jpg",
    ]
    assert labels([Path("/x/\x1b[31m\udcff.jpg")]) == ["\ufffd[31m\ufffd.jpg"]


@pytest.mark.parametrize("as_json", [True, False])
async def test_nothing_to_upload(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    assert await run([tmp_path], "http://127.0.0.1:9", as_json=as_json) == 2
    assert await run([tmp_path / "missing.jpg"], "http://127.0.0.1:9", as_json=as_json) == 2
    assert await run([], "http://127.0.0.1:9", as_json=as_json) == 2
    told = capsys.readouterr()
    assert f"nothing to upload: no photo at {tmp_path}/missing.jpg" in told.err
    assert told.out == ("[]\n" * 3 if as_json else "")


async def test_what_cannot_be_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, missing, pipe = files_in(tmp_path, "good.jpg")[0], tmp_path / "no.jpg", tmp_path / "pipe"
    os.mkfifo(pipe)
    async with serving(Fake()) as fake:
        assert await run([good, missing, pipe], fake.url) == 1
    out = capsys.readouterr().out
    assert "unreadable  no.jpg: unreadable_file: No such file or directory" in out
    assert "unreadable  pipe: unreadable_file: not a regular file" in out


# ---------------------------------------------------------------- answers


def test_what_answers_mean() -> None:
    busy = refusal(503, {"Retry-After": "7"}, b'{"code": "overloaded", "detail": "Later."}')
    assert isinstance(busy, BusyError)
    assert (busy.problem_code, busy.message, busy.retry_after_s) == ("overloaded", "Later.", 7)
    no = refusal(404, {}, b"<html>")
    assert isinstance(no, RefusedError)
    assert no.problem_code == "http_404"
    moved = refusal(301, {"Location": "https://elsewhere"}, b"")
    assert isinstance(moved, UnexpectedAnswerError)
    assert "https://elsewhere" in moved.message


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert retry_after_s("Thu, 01 Jan 2026 12:00:30 GMT", now) == 30
    assert retry_after_s("Thu, 01 Jan 2026 11:00:30 GMT", now) == 0
    assert retry_after_s("soon") is None
    assert retry_after_s(None) is None


async def test_a_service_of_another_kind(tmp_path: Path) -> None:
    files = files_in(tmp_path, "a.jpg")
    other = web.Response(text="<html>Hello", content_type="text/html")
    async with serving(Fake(refusals={"a.jpg": [other]})) as fake:
        results = await submit_all(files, url=fake.url)
    assert results[0].status is Ending.REFUSED
    assert results[0].error
    assert results[0].error.code == "http_200"


# ---------------------------------------------------------------- the terminal


def test_the_bars_shown_are_the_first_under_way_else_the_last_over() -> None:
    over, running = Progress(phase=Ending.DONE), Progress(phase=Phase.RUNNING)
    assert visible([over, over, running, over, running, running], 2) == [2, 4]
    assert visible([over, over, running, over, running], 3) == [2, 3, 4]
    assert visible([over, over], 3) == [0, 1]


def test_durations_are_short() -> None:
    spans = [duration(s) for s in (None, 0.0312, 0.9996, 59.94, 59.97, 72, 3599.8)]
    assert spans == ["-", "31 ms", "1.0 s", "59.9 s", "1 min 0 s", "1 min 12 s", "60 min 0 s"]


def test_bars_fit_and_take_names_literally() -> None:
    names = [f"[red]{n}[/red].jpg" for n in range(500)]
    screen = StringIO()
    console = Console(file=screen, width=80, height=12, force_terminal=True, color_system=None)
    bars = Bars(names, [Progress() for _ in names])
    running = {"resize": StageStatus.DONE, "detect": StageStatus.RETRYING}
    retrying = Progress(phase=Phase.RETRYING, stage="detect", code="x", stages=running)
    bars.watch(0, retrying)
    console.print(bars.rendered(console.width, console.height))
    lines = screen.getvalue().splitlines()
    assert len(lines) <= 12
    assert lines[0].startswith("[red]0[/red].jpg ")
    assert lines[0].rstrip().endswith("detect retrying: x")
    assert lines[-1].startswith("0 of 500 finished, 499 not sent yet")


def test_every_state_has_words() -> None:
    for phase in (*Phase, *Ending):
        assert describe(Progress(phase=phase, stage="resize", code="x")).plain


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_fits_the_terminal_and_keeps_ids_whole(width: int) -> None:
    photo_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    document = status_document(photo_after(photo_id, "a.jpg", life(RETRIED)))
    slow = document.stages[1].model_copy(update={"name": "watermark", "work_ms": 72_000})
    document = document.model_copy(update={"stages": [*document.stages, slow]})
    name = "[bold]" + "very-long-name-" * 5 + ".jpg"
    result = SubmitResult(
        file=Path("a.jpg"), status=Ending.DONE, photo_id=photo_id, document=document, seconds=72
    )
    screen = StringIO()
    console = Console(file=screen, width=width, force_terminal=True, color_system=None)
    print_table(console, [name], [result])
    shown = screen.getvalue()
    assert photo_id in shown
    assert "[bold]" in shown
    assert "Renditions" in shown
    assert max(map(len, shown.splitlines())) <= width
