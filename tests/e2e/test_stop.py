"""SIGTERM under load: what is in work is finished and settled, and nothing of it comes again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from photo_pipeline.domain.pipeline import PIPELINE
from support.outcomes import watching_outcomes
from support.processes import SAMPLES, Fleet, RoleProcess, Space
from support.receiver import receiving
from support.waiting import until

PHOTO = SAMPLES / "rocket-adobe-rgb.jpg"
PHOTOS = 16
GRACE_S = 30


async def test_a_loaded_fleet_that_is_stopped_leaves_nothing_half_done(
    fleet: Fleet, space: Space
) -> None:
    """Every role at once, an upload in flight; then a second fleet does the rest.

    Redeliveries are counted by what they cause: a stage that begins twice says so in the
    timeline, an event that is handled twice calls its webhook twice.
    """
    async with receiving() as receiver, watching_outcomes(space) as watcher:
        environment = {
            "PHOTO_SHUTDOWN_GRACE_S": str(GRACE_S),
            "PHOTO_WEBHOOK_URLS": f"{receiver.url}/hook",
            "PHOTO_WEBHOOK_SECRET": "a secret of some length",
            "PHOTO_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32",
            "PHOTO_ARCHIVE_URL": (space.storage.parent / "archive").as_uri(),
        }
        api = await fleet.start_api(environment=environment)
        others = [
            await fleet.start(roles, environment=environment)
            for roles in ("workers", "subscribers", "reconcile")
        ]
        ids = await asyncio.gather(*(fleet.upload(api, PHOTO) for _ in range(PHOTOS)))
        go_on, in_flight = asyncio.Event(), asyncio.Event()
        uploading = asyncio.create_task(_upload_slowly(fleet, api, in_flight, go_on))
        await in_flight.wait()
        await until(lambda: _every_stage_has_done_one(fleet, api, ids))

        loop = asyncio.get_running_loop()
        started = loop.time()
        stops = [asyncio.create_task(role.terminate()) for role in (api, *others)]
        await until(lambda: _takes_no_connection(api))
        go_on.set()
        ids.append(await uploading)
        assert await asyncio.gather(*stops) == [0] * len(stops)
        assert loop.time() - started < GRACE_S

        api = await fleet.start_api("api,reconcile,workers,subscribers", environment=environment)
        documents = await fleet.outcomes(api, ids)
        assert [d["status"] for d in documents] == ["done"] * (PHOTOS + 1)
        begun = Counter(
            (d["id"], e["stage"])
            for d in documents
            for e in d["timeline"]
            if e["type"] == "stage.started"
        )
        assert begun == {(i, stage): 1 for i in ids for stage in PIPELINE}
        finishers = {s["worker"] for d in documents for s in d["stages"]}
        assert len(finishers) == 2, "nothing was left for the second fleet: there was no load"

        async def all_told() -> bool:
            return len({call.headers["webhook-id"] for call in receiver.calls}) > PHOTOS

        await until(all_told)
        heard = Counter(call.headers["webhook-id"] for call in receiver.calls)
        assert set(heard.values()) == {1}

        async def nothing_left() -> bool:
            return await watcher.left() == {}

        await until(nothing_left)


async def _every_stage_has_done_one(fleet: Fleet, api: RoleProcess, ids: list[str]) -> bool:
    documents = await asyncio.gather(*(fleet.status(api, i) for i in ids))
    done = {s["name"] for d in documents for s in d["stages"] if s["status"] == "done"}
    return done == set(PIPELINE)


async def _takes_no_connection(api: RoleProcess) -> bool:
    _, _, port = api.url.rpartition(":")
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", int(port))
    except OSError:
        return True
    writer.close()
    return False


async def _upload_slowly(
    fleet: Fleet, api: RoleProcess, in_flight: asyncio.Event, go_on: asyncio.Event
) -> str:
    """Upload a photo whose second half follows when *go_on* is set; return its id."""
    data = PHOTO.read_bytes()
    head = (
        "--cut\r\nContent-Type: image/jpeg\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{PHOTO.name}"\r\n\r\n'
    )

    async def body() -> AsyncIterator[bytes]:
        yield head.encode() + data[: len(data) // 2]
        in_flight.set()
        await go_on.wait()
        yield data[len(data) // 2 :] + b"\r\n--cut--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=cut"}
    async with fleet.http.post(f"{api.url}/upload/", data=body(), headers=headers) as answer:
        told = await answer.json()
        assert answer.status == 202, told
        return str(told["id"])
