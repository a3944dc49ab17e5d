"""The archive by real role processes: what it holds is what the service holds."""

import asyncio
import json
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from support.archived import stored
from support.outcomes import watching_outcomes
from support.processes import SAMPLES, Fleet, RoleProcess, Space
from support.waiting import until

SMALL = SAMPLES / "cat-small.jpg"
OTHER = SAMPLES / "coffee-gps.jpg"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


async def _start(fleet: Fleet, root: Path, **environment: str) -> RoleProcess:
    environment["PHOTO_ARCHIVE_URL"] = root.as_uri()
    return await fleet.start("archive", environment=environment)


def _entry(root: Path, document: dict[str, Any]) -> Path:
    day = document["created_at"][:10].replace("-", "/")
    return root.joinpath(day, document["id"], f"outcome-{document['revision']:04}")


async def _until_archived(root: Path, documents: Iterable[dict[str, Any]]) -> None:
    async def all_marked() -> bool:
        return all((_entry(root, d) / "status.json").exists() for d in documents)

    await until(all_marked)


async def _until_handled(fleet: Fleet, processes: Iterable[RoleProcess], events: int) -> None:
    """Wait until the *processes* together have handled so many events, repeats included."""

    async def handled(process: RoleProcess) -> float:
        async with fleet.http.get(f"{process.url}/metrics") as answer:
            text = await answer.text()
        pattern = r'^photo_subscriber_events_total\{result="(?:handled|repeated)",.*\} (.*)$'
        return sum(map(float, re.findall(pattern, text, flags=re.MULTILINE)))

    async def all_handled() -> bool:
        return sum([await handled(process) for process in processes]) >= events

    await until(all_handled)


async def _check(fleet: Fleet, api: RoleProcess, root: Path, document: dict[str, Any]) -> None:
    """Compare an entry with the service, byte for byte."""
    entry = _entry(root, document)
    assert json.loads((entry / "status.json").read_bytes()) == document
    (original,) = (entry.parent / "original").iterdir()
    pairs = {document["links"]["original"]: original}
    found = {path.stem: path for path in (entry / "renditions").glob("*")}
    pairs |= {r["url"]: found.pop(r["name"]) for r in document["renditions"]}
    assert not found, "there is more than the status document tells of"
    sums = {r["url"]: r["sha256"] for r in document["renditions"]}
    sums[document["links"]["original"]] = document["sha256"]
    for url, path in pairs.items():
        async with fleet.http.get(f"{api.url}{url}") as answer:
            assert answer.status == 200
            served = await answer.read()
        assert path.read_bytes() == served
        assert sha256(served).hexdigest() == sums[url]


async def test_every_byte_is_archived_and_a_repeat_changes_no_file(
    fleet: Fleet, space: Space, root: Path, tmp_path: Path
) -> None:
    spoilt = tmp_path / "spoilt.jpg"
    spoilt.write_bytes(SMALL.read_bytes()[:20_000])
    async with watching_outcomes(space) as watcher:
        api = await fleet.start_api("api,workers")
        archive = await _start(fleet, root)
        paths = [*SAMPLES.glob("*.jpg"), *SAMPLES.glob("*.png"), *SAMPLES.glob("*.webp"), spoilt]
        assert len(paths) == 13
        ids = await asyncio.gather(*(fleet.upload(api, path) for path in paths))
        documents = await fleet.outcomes(api, ids)
        assert documents[-1]["status"] == "failed"
        await _until_archived(root, documents)
        for document in documents:
            await _check(fleet, api, root, document)
        state = stored(root)
        assert len(state) == sum(2 + len(d["renditions"]) for d in documents)
        events = await watcher.told(len(ids))
        assert await archive.terminate() == 0
        again = await _start(fleet, root)  # remembers nothing of what the first one did
        await watcher.tell(*events)
        await _until_handled(fleet, [again], len(events))
        assert stored(root) == state


async def test_an_archive_that_is_away_at_first_is_tried_again(fleet: Fleet, root: Path) -> None:
    root.write_text("a file where a folder must be")
    api = await fleet.start_api("api,workers")
    archive = await _start(fleet, root, PHOTO_RETRY_DELAYS_S="0.2,0.4,0.8,1.6,3.2,6.4")
    document = await fleet.outcome(api, await fleet.upload(api, SMALL))

    async def retried() -> bool:
        return "event.retrying" in archive.log.read_text()

    await until(retried)
    assert "ENOTDIR" in archive.log.read_text()
    root.unlink()
    await _until_archived(root, [document])
    await _check(fleet, api, root, document)


@pytest.mark.parametrize("which", ["originals", "renditions"])
async def test_a_corrupt_source_is_a_dead_letter_and_no_entry(
    fleet: Fleet, space: Space, root: Path, which: str
) -> None:
    async with watching_outcomes(space) as watcher:  # so that the archive's queue is there
        api = await fleet.start_api("api,workers")
        spoilt = await fleet.outcome(api, await fleet.upload(api, SMALL))
        victim = next(p for p in space.files() if which in p.parts)
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
        good = await fleet.outcome(api, await fleet.upload(api, OTHER))
        await _start(fleet, root)
        await _until_archived(root, [good])
        ((body, headers),) = await until(lambda: watcher.dead("processed_images.archive"))
        assert headers["x-error-code"] == "archive_corrupt"
        assert json.loads(body)["photo_id"] == spoilt["id"]
        assert not (_entry(root, spoilt) / "status.json").exists()
        assert not [p for p in root.rglob("*") if p.is_file() and p.parent.name == "tmp"]


async def test_two_archives_with_duplicate_events_agree(
    fleet: Fleet, space: Space, root: Path
) -> None:
    async with watching_outcomes(space) as watcher:
        api = await fleet.start_api("api,workers")
        documents = await fleet.outcomes(
            api, [await fleet.upload(api, path) for path in (SMALL, OTHER)]
        )
        events = await watcher.told(2)
        await watcher.tell(*(events * 10))
        first, second = await asyncio.gather(_start(fleet, root), _start(fleet, root))
        await _until_handled(fleet, [first, second], len(events) * 11)
        for process in (first, second):
            assert await process.terminate() == 0
        for document in documents:
            await _check(fleet, api, root, document)
        assert len(stored(root)) == sum(2 + len(d["renditions"]) for d in documents)


async def test_without_a_url_it_runs_and_takes_the_events(fleet: Fleet) -> None:
    api = await fleet.start_api("api,workers")
    archive = await fleet.start("archive")
    await fleet.outcome(api, await fleet.upload(api, SMALL))
    await _until_handled(fleet, [archive], 1)
    assert archive.log.read_text().count("archive.off") == 1
