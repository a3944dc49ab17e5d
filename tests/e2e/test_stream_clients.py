"""Clients as they come: one that never reads, and a browser."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aio_pika
import psutil
from playwright.async_api import async_playwright

from photo_pipeline.broker.topology import Names
from photo_pipeline.domain.messages import StatusEvent
from photo_pipeline.domain.photo import utc_now
from support.processes import SAMPLES, Fleet, RoleProcess, Space
from support.waiting import until

PHOTO = SAMPLES / "cat-small.jpg"
CHROMIUM = "/usr/bin/chromium"
MIB = 2**20

HINTS = 10_000
HINT_BYTES = 4000  # together far more than the kernel keeps for a connection
BATCH = 500  # less than waits for one client, so that a reader is never too slow
GROWTH_BYTES = 32 * MIB  # of a process that has 40 MB for each of three clients


@asynccontextmanager
async def _deaf(api: RoleProcess, path: str) -> AsyncIterator[int]:
    """Open a stream, never read it, yield our port."""
    loop = asyncio.get_running_loop()
    address = urlsplit(api.url)
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.setblocking(False)
        await loop.sock_connect(peer, (address.hostname, address.port))
        lines = [f"GET {path} HTTP/1.1", f"Host: {address.netloc}"]
        if path.startswith("/ws"):
            lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
            lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
        await loop.sock_sendall(peer, "\r\n".join([*lines, "", ""]).encode())
        yield int(peer.getsockname()[1])


def _long_hint(photo_id: str, revision: int) -> bytes:
    hint = {"type": "stage.retrying", "photo_id": photo_id, "revision": revision, "at": utc_now()}
    return StatusEvent.model_validate({**hint, "worker": "w" * HINT_BYTES}).encode()


async def test_clients_that_never_read_are_parted_with_and_hold_up_nobody(
    fleet: Fleet, space: Space
) -> None:
    api = await fleet.start_api()
    process = psutil.Process(api.pid)

    def peers() -> set[int]:
        return {
            c.raddr.port for c in process.net_connections() if c.status == psutil.CONN_ESTABLISHED
        }

    async with (
        await aio_pika.connect(space.environment["PHOTO_AMQP_URL"]) as connection,
        fleet.http.ws_connect(f"{api.url}/ws") as reader,
        _deaf(api, "/ws") as deaf_to_all,
    ):
        await reader.receive_json()
        channel = await connection.channel(publisher_confirms=False)
        names = Names(space.environment["PHOTO_TOPOLOGY_PREFIX"])
        exchange = await channel.get_exchange(names.status, ensure=False)
        photo_id = await fleet.upload(api, PHOTO)
        assert (await reader.receive_json())["revision"] == 1
        async with (
            _deaf(api, f"/ws/{photo_id}") as deaf_to_one,
            _deaf(api, f"/events/{photo_id}") as deaf_to_events,
        ):
            deaf = {deaf_to_all, deaf_to_one, deaf_to_events}

            async def all_connected() -> bool:
                return deaf <= peers()

            async def all_parted_with() -> bool:
                return not deaf & peers()

            await until(all_connected)
            before = process.memory_info().rss
            most = before
            for first in range(2, HINTS, BATCH):
                for revision in range(first, first + BATCH):
                    body = _long_hint(photo_id, revision)
                    await exchange.publish(aio_pika.Message(body), photo_id)
                for revision in range(first, first + BATCH):
                    assert (await reader.receive_json())["revision"] == revision
                most = max(most, process.memory_info().rss)
            await until(all_parted_with)
        assert most - before < GROWTH_BYTES
        assert not reader.closed


FOLLOW = """url => {
  window.seen = [];
  window.source = new EventSource(url);
  source.onmessage = event => seen.push([event.lastEventId, JSON.parse(event.data).type]);
}"""


async def test_a_browser_goes_on_by_itself_when_the_api_was_killed(fleet: Fleet) -> None:
    api = await fleet.start_api()
    photo_id = await fleet.upload(api, PHOTO)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page()
        await page.goto(f"{api.url}/healthz")
        await page.evaluate(FOLLOW, f"/events/{photo_id}")
        await page.wait_for_function("seen.length === 1")
        api.kill()
        await api.process.wait()
        port = str(urlsplit(api.url).port)
        await fleet.start("api,workers", environment={"PHOTO_HTTP_PORT": port})
        await page.wait_for_function("source.readyState === EventSource.CLOSED", timeout=60_000)
        seen = await page.evaluate("seen")
        await browser.close()
    document = await fleet.status(api, photo_id)
    timeline = [[str(e["revision"]), e["type"]] for e in document["timeline"]]
    assert seen == [["1", "snapshot"], *timeline[1:]]
    assert document["status"] == "done"
