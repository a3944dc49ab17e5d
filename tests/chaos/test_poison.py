"""Photos that kill or hang their decoder, a message that nobody can read, and 17 that are well."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
from aio_pika.abc import AbstractIncomingMessage

from support.outcomes import watching_outcomes
from support.processes import ROOT, SAMPLES, Fleet, RoleProcess, Space
from support.stack import tell
from support.waiting import until

PHOTO = SAMPLES / "dogs-orientation-6.jpg"
GOOD = 17
STAGE_TIMEOUT_S = 6.0  # many times what a stage needs for PHOTO, also on a loaded machine

POISONED = '''
"""In a child, and only there, resize is at the mercy of a photo's last bytes."""
import sys

if "--stage=resize" in sys.orig_argv:
    import dataclasses, os, time
    from photo_pipeline.stages import resize

    transform = resize.STAGE.transform

    def poisoned(inputs, parameters):
        data = bytes(inputs["original"])
        if data.endswith(b"die"):
            os.abort()
        if data.endswith(b"hang"):
            time.sleep(3600)
        return transform(inputs, parameters)

    resize.STAGE = dataclasses.replace(resize.STAGE, transform=poisoned)
'''


async def test_20_photos_of_which_3_are_poison_hold_up_no_other(
    fleet: Fleet, space: Space, tmp_path: Path
) -> None:
    """How it is measured: one fleet gets the 17 good photos alone, then the same 17 with the rest.

    Both times the clock runs from the first upload of the 17 until the last of them is done; the
    poison goes first, so that all of them are behind it. None may then be later than twice the
    time of the run without: of three workers one dies and one hangs at first.
    """
    (tmp_path / "sitecustomize.py").write_text(POISONED)
    environment = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "src")]),
        "PHOTO_STAGE_TIMEOUT_S": f"{STAGE_TIMEOUT_S:g}",
    }
    async with watching_outcomes(space) as watcher:
        api = await fleet.start_api()
        workers = [
            await fleet.start(roles, environment=environment)
            for roles in ("resize", "resize", "resize", "watermark,detect")
        ]
        names = {f"{os.uname().nodename}-{worker.pid}" for worker in workers}
        loop = asyncio.get_running_loop()

        started = loop.time()
        alone_s = await _done(fleet, api, await _upload(fleet, api, [b""] * GOOD)) - started

        mangled = await _upload_and_mangle(fleet, api, space)
        poison = await _upload(fleet, api, [b"die", b"hang"])
        started = loop.time()
        good = await _upload(fleet, api, [b""] * GOOD)
        beside_s = await _done(fleet, api, good) - started
        tell(f"17 alone {alone_s:.1f} s, beside 3 poisoned {beside_s:.1f} s")
        assert beside_s <= 2 * alone_s

        documents = await fleet.outcomes(api, good)
        assert {s["attempts"] for d in documents for s in d["stages"]} == {1}
        killer, hanger = await fleet.outcomes(api, poison)
        for document, code in ((killer, "decoder_crashed"), (hanger, "stage_timeout")):
            assert (document["status"], document["error"]["code"]) == ("failed", code)
            assert document["stages"][0]["attempts"] == 2
        assert {s["worker"] for d in (*documents, killer, hanger) for s in d["stages"]} <= {
            *names,
            None,
        }
        assert [worker.process.returncode for worker in workers] == [None] * len(workers)

        letters: list[Any] = []

        async def all_dead() -> bool:
            letters.extend(await watcher.dead("resize"))
            return len(letters) >= 3

        await until(all_dead)
        reasons = {headers["x-error-code"]: body for body, headers in letters}
        assert set(reasons) == {"decoder_crashed", "stage_timeout", "malformed_message"}
        assert reasons["malformed_message"] == _mangle(mangled).encode()
        assert json.loads(reasons["decoder_crashed"])["photo_id"] == killer["id"]
        assert json.loads(reasons["stage_timeout"])["photo_id"] == hanger["id"]


async def _upload(fleet: Fleet, api: RoleProcess, tails: Sequence[bytes]) -> list[str]:
    """Upload a photo for each of *tails*, which follow its picture and are no part of it."""

    async def one(tail: bytes) -> str:
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(PHOTO.read_bytes() + tail), filename=PHOTO.name)
        async with fleet.http.post(f"{api.url}/upload/", data=form) as answer:
            assert answer.status == 202
            return str((await answer.json())["id"])

    return [await one(tail) for tail in tails]


async def _done(fleet: Fleet, api: RoleProcess, ids: Sequence[str]) -> float:
    """Wait until all of *ids* are done; return when that was."""
    documents = await fleet.outcomes(api, ids)
    assert [document["status"] for document in documents] == ["done"] * len(ids)
    return asyncio.get_running_loop().time()


def _mangle(body: str) -> str:
    return body[: len(body) // 2]


async def _upload_and_mangle(fleet: Fleet, api: RoleProcess, space: Space) -> str:
    """Upload a photo whose first message is cut in half on its way; return the whole message."""
    async with _first_in_line(space) as taken:
        (photo_id,) = await _upload(fleet, api, [b""])
        message = await asyncio.wait_for(taken.get(), 30)
        body = message.body.decode()
        assert json.loads(body)["photo_id"] == photo_id
        work = await message.channel.basic_publish(
            _mangle(body).encode(),
            exchange=f"{space.prefix}photos",
            routing_key="resize",
            properties=message.properties,
        )
        assert work is not None
        await message.ack()
    return body


@asynccontextmanager
async def _first_in_line(space: Space) -> AsyncIterator[asyncio.Queue[AbstractIncomingMessage]]:
    """Get one message of the stage resize before its workers do."""
    async with await aio_pika.connect(space.environment["PHOTO_AMQP_URL"]) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        queue = await channel.get_queue(f"{space.prefix}resize", ensure=False)
        taken: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        await queue.consume(taken.put, arguments={"x-priority": 10})
        yield taken
