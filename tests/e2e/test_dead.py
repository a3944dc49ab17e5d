"""A stage breaks in three ways over 30 photos, is mended, and every photo gets what it missed."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from PIL import Image

from support.faults import break_resize
from support.processes import ROOT, Fleet, RoleProcess, Space
from support.waiting import until

PHOTOS = 30
HASTY = {"PHOTO_RETRY_DELAYS_S": "0.1"}
Json = dict[str, Any]


def _photos(folder: Path) -> list[Path]:
    """Make small photos; the width decides which fault one meets."""
    paths = [folder / f"{number:02}.png" for number in range(PHOTOS)]
    for number, path in enumerate(paths):
        Image.new("RGB", (60 + number, 40), (8 * number, 90, 120)).save(path)
    return paths


async def _call(
    fleet: Fleet, api: RoleProcess, method: str, path: str, body: Json | None = None
) -> tuple[int, Json]:
    async with fleet.http.request(method, f"{api.url}{path}", json=body) as answer:
        return answer.status, await answer.json()


async def _dead(fleet: Fleet, api: RoleProcess, query: str = "") -> Json:
    status, found = await _call(fleet, api, "GET", f"/dead{query}")
    assert status == 200, found
    return found


async def _waiting(fleet: Fleet, api: RoleProcess) -> int:
    """Return how many dead letters of resize RabbitMQ has."""
    _, found = await _call(fleet, api, "GET", "/queues")
    return int(found["stages"][0]["dead"])


async def _command(api: RoleProcess, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "photo_pipeline", "dead", *arguments, "--url", api.url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.timeout(400)
async def test_what_died_is_understood_mended_and_replayed(
    fleet: Fleet, space: Space, tmp_path: Path
) -> None:
    api = await fleet.start_api("api,reconcile,watermark,detect", environment=HASTY)
    broken = await fleet.start("resize", environment=HASTY | break_resize(tmp_path / "broken"))
    paths = _photos(tmp_path)
    ids = [await fleet.upload(api, path) for path in paths]
    documents = {d["id"]: d for d in await fleet.outcomes(api, ids)}
    assert {d["status"] for d in documents.values()} == {"failed"}

    async def filed() -> Json | None:
        found = await _dead(fleet, api, "?limit=100")
        return found if len(found["items"]) == PHOTOS else None

    found = await until(filed, within_s=60)
    assert found is not None
    groups = {group["fingerprint"]: group for group in found["groups"]}
    assert sorted(group["count"] for group in groups.values()) == [10, 10, 10]
    assert sorted((g["error"]["code"], g["error"]["type"]) for g in groups.values()) == [
        ("unexpected_error", "ZeroDivisionError"),
        ("unexpected_error", "ZeroDivisionError"),
        ("unreadable_image", "UnreadableImageError"),
    ]
    for letter in found["items"]:
        assert letter["fingerprint"] in groups
    await _a_file_tells_all(fleet, api, found["items"], documents)
    await _listing_takes_nothing(fleet, api, space)

    (refusing,) = (f for f, g in groups.items() if g["error"]["code"] == "unreadable_image")
    one, other = (f for f in groups if f != refusing)
    dry = {"fingerprint": one, "dry_run": True}
    status, tried = await _call(fleet, api, "POST", "/dead/replay", dry)
    assert (status, tried["replayed"]) == (200, [])
    assert tried["trial"]["error"]["fingerprint"] == one
    assert await broken.terminate() == 0
    status, problem = await _call(fleet, api, "POST", "/dead/replay", dry)
    assert (status, problem["code"]) == (503, "trial_unanswered")

    mended = await fleet.start("resize", environment=HASTY)
    status, tried = await _call(fleet, api, "POST", "/dead/replay", dry)
    assert (status, tried["trial"]["error"], tried["trial"]["stage"]) == (200, None, "resize")
    photo_id = tried["trial"]["photo_id"]
    assert await fleet.status(api, photo_id) == documents[photo_id], "a dry run changed something"
    assert all(photo_id not in path.parts for path in space.files() if "renditions" in path.parts)
    assert await _waiting(fleet, api) == PHOTOS

    status, answer = await _call(fleet, api, "POST", "/dead/replay", {"fingerprint": one})
    assert (status, len(answer["replayed"]), answer["refused"]) == (202, 10, [])
    await _all_done_with_their_history(fleet, api, found["items"], one, documents)
    assert await until(lambda: _is(fleet, api, PHOTOS - 10))
    assert {g["fingerprint"] for g in (await _dead(fleet, api))["groups"]} == {refusing, other}
    status, answer = await _call(fleet, api, "POST", f"/dead/{answer['replayed'][0]}/replay")
    assert (status, answer["code"]) == (409, "dead_letter_closed")

    await _over_the_command_line(fleet, api, refusing, other)
    await _all_done_with_their_history(fleet, api, found["items"], other, documents)
    assert await until(lambda: _is(fleet, api, 9))
    assert await mended.terminate() == 0


async def _is(fleet: Fleet, api: RoleProcess, waiting: int) -> bool:
    return await _waiting(fleet, api) == waiting


async def _a_file_tells_all(
    fleet: Fleet, api: RoleProcess, letters: list[Json], documents: dict[str, Json]
) -> None:
    letter = next(x for x in letters if x["error"]["code"] == "unexpected_error")
    status, file = await _call(fleet, api, "GET", f"/dead/{letter['id']}")
    document = documents[letter["photo_id"]]
    assert (status, file["state"], file["attempts"], file["history"]) == (200, "open", 2, [])
    assert file["worker"] == document["stages"][0]["worker"]
    assert file["message"]["body"]["photo_id"] == document["id"]
    assert file["error"]["message"] == document["error"]["message"]
    assert "ZeroDivisionError" in file["error"]["traceback"]
    assert file["error"]["frames"][0] == "stages.resize.transform"
    facts = ("status", "filename", "content_type", "bytes", "width", "height", "sha256")
    assert file["photo"] == {name: document[name] for name in facts}


async def _listing_takes_nothing(fleet: Fleet, api: RoleProcess, space: Space) -> None:
    """Every message is where it was, and was delivered to nobody."""
    pages, query = 0, "?limit=7"
    while query:
        page = await _dead(fleet, api, query)
        assert bool(page["groups"]) is (pages == 0)
        pages += 1
        query = f"?limit=7&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert pages == 5
    assert await _waiting(fleet, api) == PHOTOS
    async with await aio_pika.connect(space.environment["PHOTO_AMQP_URL"]) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(f"{space.prefix}resize.dead", ensure=False)
        message = await queue.get()
        assert not message.redelivered
        await message.nack(requeue=True)
    assert await until(lambda: _is(fleet, api, PHOTOS))


async def _all_done_with_their_history(
    fleet: Fleet,
    api: RoleProcess,
    letters: list[Json],
    fingerprint: str,
    documents: dict[str, Json],
) -> None:
    ids = [each["photo_id"] for each in letters if each["fingerprint"] == fingerprint]
    for photo_id in ids:
        before = documents[photo_id]

        async def done(photo_id: str = photo_id) -> Json | None:
            document = await fleet.status(api, photo_id, wait_s=5)
            return document if document["status"] == "done" else None

        after = await until(done, within_s=120)
        assert after is not None
        assert after["timeline"][: before["revision"]] == before["timeline"]
        assert "photo.failed" in [entry["type"] for entry in after["timeline"]]


async def _over_the_command_line(fleet: Fleet, api: RoleProcess, refusing: str, other: str) -> None:
    status, out, err = await _command(api, "list")
    assert (status, err) == (0, "")
    assert refusing in out
    assert other in out
    status, out, _ = await _command(api, "replay", "--fingerprint", other, "--dry-run")
    assert status == 0, out
    status, out, err = await _command(api, "replay", "--fingerprint", other)
    assert (status, err) == (0, ""), out
    assert "10 replayed" in out
    status, out, err = await _command(api, "list", "--json")
    (group,) = json.loads(out)["groups"]
    assert (status, group["fingerprint"], group["count"]) == (0, refusing, 10)
    status, out, err = await _command(api, "show", group["example"])
    assert status == 0
    assert "not to the taste" in out
    status, out, err = await _command(api, "discard", group["example"])
    assert (status, err) == (0, ""), out
    status, out, err = await _command(api, "replay", group["example"])
    assert (status, out) == (1, "")
    assert "dead_letter_closed" in err
    status, _, err = await _command(api, "replay")
    assert (status, bool(err)) == (2, True)
