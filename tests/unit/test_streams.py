"""The streams over HTTP: how they begin, end, and part with a client that does not read."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import chain
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from photo_pipeline.api import following, hub, keys, sse, stream
from photo_pipeline.api.feed import Feed
from photo_pipeline.api.hub import Hub, sequencing
from photo_pipeline.api.sse import get_events
from photo_pipeline.api.stream import get_stream, get_stream_of_all
from photo_pipeline.domain.messages import StatusEvent
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.errors import StoreUnavailableError
from support.fakes import FakePhotos
from support.story import REVISIONS, Story
from support.waiting import until

Client = TestClient[web.Request, web.Application]


class MovingPhotos(FakePhotos):
    """May be away."""

    away = False

    async def get(self, photo_id: str) -> Photo:
        if self.away:
            raise StoreUnavailableError("away")
        return await super().get(photo_id)


@pytest.fixture
def photos() -> MovingPhotos:
    return MovingPhotos()


@pytest.fixture
async def client(photos: MovingPhotos) -> AsyncIterator[Client]:
    async with sequencing(photos) as sequencer:
        app = web.Application()
        app[keys.PHOTOS] = photos
        app[keys.HUB] = sequencer
        app[keys.FEED] = Feed(sequencer.offer)
        app[keys.STOPPING] = asyncio.Event()
        app.router.add_get("/ws", get_stream_of_all)
        app.router.add_get("/ws/{id}", get_stream)
        app.router.add_get("/events/{id}", get_events)
        async with TestClient(TestServer(app)) as client:
            yield client


def _app(client: Client) -> web.Application:
    app = client.server.app  # type: ignore[attr-defined]
    assert isinstance(app, web.Application)
    return app


def _events(text: str) -> list[tuple[int, dict[str, Any]]]:
    """Return the id and the data of every event of a stream."""
    blocks = [dict(line.split(": ", 1) for line in b.split("\n")) for b in text.split("\n\n") if b]
    return [(int(b["id"]), json.loads(b["data"])) for b in blocks if "data" in b]


async def test_events_begin_with_a_snapshot_and_end_with_the_photo(
    client: Client, photos: MovingPhotos
) -> None:
    story = await Story.begin(photos)
    async with client.get(f"/events/{story.id}") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-cache"
        for hint in await story.turns():
            _app(client)[keys.FEED].on_body(hint.encode())
        text = await asyncio.wait_for(answer.text(), 10)
    assert text.startswith("retry: 1000\n\nid: 1\n")
    snapshot, *events = _events(text)
    assert snapshot[1]["type"] == "snapshot"
    assert [(n, e["revision"]) for n, e in events] == [(n, n) for n in range(2, REVISIONS + 1)]
    assert events[-1][1]["type"] == "photo.done"


@pytest.mark.parametrize(
    ("headers", "query", "first"),
    [
        ({"Last-Event-ID": "3"}, "", 4),
        ({}, "?since=3", 4),
        ({"Last-Event-ID": "5"}, "?since=3", 6),  # a browser repeats the URL that it began with
        ({"Last-Event-ID": ""}, "?since=3", 4),
    ],
)
async def test_events_go_on_after_what_was_seen(
    client: Client, photos: MovingPhotos, headers: dict[str, str], query: str, first: int
) -> None:
    story = await Story.begin(photos)
    await story.turns()
    async with client.get(f"/events/{story.id}{query}", headers=headers) as answer:
        events = _events(await answer.text())
    assert [n for n, _ in events] == list(range(first, REVISIONS + 1))


@pytest.mark.parametrize("by", ["header", "query"])
async def test_who_has_seen_the_end_is_told_to_stop_asking(
    client: Client, photos: MovingPhotos, by: str
) -> None:
    story = await Story.begin(photos)
    await story.turns()
    headers = {"Last-Event-ID": str(REVISIONS)} if by == "header" else {}
    query = f"?since={REVISIONS}" if by == "query" else ""
    async with client.get(f"/events/{story.id}{query}", headers=headers) as answer:
        assert answer.status == 204


async def test_events_ping(
    client: Client, photos: MovingPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert following.HEARTBEAT_S == 20
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.01)
    story = await Story.begin(photos)
    async with client.get(f"/events/{story.id}?since=1") as answer:
        assert await answer.content.readuntil(b": ping\n\n") == b"retry: 1000\n\n: ping\n\n"


async def test_events_end_when_the_replica_stops(
    client: Client, photos: MovingPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOK_AGAIN_S", 0.01)
    story = await Story.begin(photos)
    async with client.get(f"/events/{story.id}?since=0") as answer:
        await answer.content.readuntil(b"\n\nid: 1\n")
        _app(client)[keys.STOPPING].set()
        await asyncio.wait_for(answer.read(), 10)  # no error: it ends as a body does


async def test_a_client_that_resumes_while_the_store_is_away_is_to_come_again(
    client: Client, photos: MovingPhotos
) -> None:
    """A browser would never come again after any status but 200."""
    story = await Story.begin(photos)
    photos.away = True
    async with client.get(f"/events/{story.id}", headers={"Last-Event-ID": "1"}) as answer:
        assert answer.status == 200
        assert await answer.text() == "retry: 1000\n\n"


async def test_events_of_a_client_that_is_gone_are_no_longer_looked_for(
    client: Client, photos: MovingPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOK_AGAIN_S", 0.01)
    story = await Story.begin(photos)
    answer = await client.get(f"/events/{story.id}")
    await answer.content.readline()
    answer.close()

    async def forgotten() -> bool:
        return not _app(client)[keys.FEED]._followers

    await until(forgotten, within_s=5)


async def test_a_socket_that_comes_while_the_replica_stops_is_sent_elsewhere(
    client: Client, photos: MovingPhotos
) -> None:
    story = await Story.begin(photos)
    _app(client)[keys.STOPPING].set()
    for path in ("/ws", f"/ws/{story.id}"):
        async with client.ws_connect(path) as socket_:
            async with asyncio.timeout(10):
                async for _ in socket_:
                    continue
            assert socket_.close_code == 1001


async def test_a_socket_is_told_to_come_again_when_the_store_goes_away(
    client: Client, photos: MovingPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOK_AGAIN_S", 0.01)
    story = await Story.begin(photos)
    async with client.ws_connect(f"/ws/{story.id}") as socket_:
        await socket_.receive_json()
        photos.away = True
        message = await socket_.receive(timeout=10)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1013)
    assert message.extra == "store_unavailable"


async def test_a_socket_of_all_begins_over_or_goes_on(client: Client, photos: MovingPhotos) -> None:
    story = await Story.begin(photos)
    async with client.ws_connect("/ws") as socket_:
        assert (await socket_.receive_json())["photos"][0]["id"] == story.id
        _app(client)[keys.FEED].on_body((await story.turn()).encode())
        assert (await socket_.receive_json())["revision"] == 2
    at = (utc_now() - timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
    async with client.ws_connect(f"/ws?since={at}") as socket_:
        assert [(await socket_.receive_json())["revision"] for _ in range(2)] == [1, 2]
    async with client.get("/ws?since=yesterday") as answer:
        assert answer.status == 500  # InvalidRequestError: the middleware is not here


@asynccontextmanager
async def _deaf(client: Client, path: str) -> AsyncIterator[None]:
    """Ask for a stream and read none of it."""
    loop = asyncio.get_running_loop()
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.setblocking(False)
    await loop.sock_connect(peer, ("127.0.0.1", client.port))
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    more = upgrade + key if path.startswith("/ws") else ""
    await loop.sock_sendall(peer, f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
    try:
        yield
    finally:
        peer.close()


def _long_hint(photo_id: str, revision: int) -> StatusEvent:
    return StatusEvent.model_validate(
        {
            "type": "stage.retrying",
            "photo_id": photo_id,
            "revision": revision,
            "at": utc_now(),
            "worker": "w" * 50_000,
        }
    )


async def test_a_client_that_answers_no_ping_is_parted_with_at_once(
    client: Client, photos: MovingPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more on its way to it than it will ever take."""
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.5)
    story = await Story.begin(photos)
    app = _app(client)

    async def is_left() -> bool:
        return not app[keys.HUB]._inboxes and not client.server.handler.connections

    async def is_followed() -> bool:
        return bool(app[keys.HUB]._inboxes)

    async with _deaf(client, "/ws"):
        await until(is_followed)
        for revision in range(1, 500):
            app[keys.FEED].on_body(_long_hint(story.id, revision).encode())
        await until(is_left, within_s=following.SEND_TIMEOUT_S / 2)


@pytest.mark.parametrize("path", ["/ws", "/ws/{}?since=0", "/events/{}?since=0"])
async def test_a_client_that_reads_nothing_is_parted_with(
    client: Client, photos: MovingPhotos, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(stream, "SEND_TIMEOUT_S", 0.5)
    monkeypatch.setattr(sse, "SEND_TIMEOUT_S", 0.5)
    monkeypatch.setattr(stream, "CLOSE_TIMEOUT_S", 0.5)
    story = await Story.begin(photos)
    app = _app(client)

    def inboxes() -> list[Any]:
        return [*app[keys.HUB]._inboxes, *chain(*app[keys.FEED]._followers.values())]

    async def is_waited_for() -> bool:
        return any(inbox._getters for inbox in inboxes())

    async def is_left() -> bool:
        return not inboxes() and not client.server.handler.connections

    async with _deaf(client, path.format(story.id)):
        await until(is_waited_for)
        for revision in range(1, 1000):
            app[keys.FEED].on_body(_long_hint(story.id, revision).encode())
            await asyncio.sleep(0.001)
        await until(is_left, within_s=5)


async def test_a_client_that_lags_is_told_so_and_can_resume(
    client: Client, photos: MovingPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_INBOX", 3)
    story = await Story.begin(photos)
    sequencer: Hub = _app(client)[keys.HUB]
    async with client.ws_connect("/ws") as socket_:
        await socket_.receive_json()
        await story.turns()
        # More at once than fits: as if the client had been slow.
        await sequencer._catch_up(story.id)
        found = [message async for message in socket_]
        assert [json.loads(m.data)["revision"] for m in found] == [2, 3]
        assert socket_.close_code == 1013
