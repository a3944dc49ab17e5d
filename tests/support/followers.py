"""Clients of the status stream that are cut again and again, and go on where they were."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

Frame = dict[str, Any]
_NETWORK = (aiohttp.ClientError, ConnectionError, TimeoutError)
_PAUSE_S = 0.1
MOST_FRAMES = 1500
"""Of a connection to the stream of all before a cut. Often amid the replay that it begins with;
but not always, for the replay is of everything lately changed, and behind it is what is new."""


@dataclass
class Bench:
    """What the clients share: the replicas there are, chance, and how long they stay."""

    http: aiohttp.ClientSession
    urls: list[str]
    chance: random.Random
    patience_s: float = 0.5

    def url(self) -> str:
        return self.chance.choice(self.urls)

    def patience(self) -> float:
        return self.chance.uniform(0, self.patience_s)


@dataclass
class Follower:
    """Follows one photo; ``frames`` is everything that it has got over all connections."""

    bench: Bench
    photo_id: str
    frames: list[Frame] = field(default_factory=list)
    cuts: int = 0
    ended: bool = False
    codes: list[int | None] = field(default_factory=list)

    @property
    def since(self) -> int:
        return self.frames[-1]["revision"] if self.frames else 0

    def take(self, text: str) -> None:
        frame = json.loads(text)
        assert frame["photo_id"] == self.photo_id
        self.frames.append(frame)

    async def follow(self, connect: Callable[["Follower"], Any]) -> None:
        while not self.ended:
            try:
                async with asyncio.timeout(self.bench.patience()):
                    await connect(self)
            except _NETWORK:
                self.cuts += 1
                await asyncio.sleep(0)
            else:
                # Closed by the server before the end: it was stopped, or is not there.
                if not self.ended:
                    await asyncio.sleep(_PAUSE_S)


async def over_websocket(follower: Follower) -> None:
    """Read at most two frames, then cut without a word."""
    bench = follower.bench
    url = f"{bench.url()}/ws/{follower.photo_id}?since={follower.since}"
    async with bench.http.ws_connect(url) as socket:
        try:
            for _ in range(2):
                message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    follower.codes.append(socket.close_code)
                    follower.ended = socket.close_code == 1000
                    return
                follower.take(message.data)
            raise ConnectionError("cut")
        finally:
            if not follower.ended:
                socket._response.close()


async def over_events(follower: Follower) -> None:
    """The same over Server-Sent Events, as a browser's EventSource reads them."""
    bench = follower.bench
    url = f"{bench.url()}/events/{follower.photo_id}"
    headers = {"Last-Event-ID": str(follower.since)}
    async with bench.http.get(url, headers=headers) as answer:
        if answer.status == 204:
            follower.ended = True
            return
        assert answer.status in (200, 503), await answer.text()
        taken = 0
        identity = ""
        try:
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    identity = value
                elif name == "data":
                    follower.take(value)
                    assert follower.since == int(identity)
                    taken += 1
                if taken == 2:
                    raise ConnectionError("cut")
        finally:
            answer.close()


async def over_long_poll(follower: Follower) -> None:
    """Ask for the outcome; ``frames`` are the entries of the timeline."""
    bench = follower.bench
    url = f"{bench.url()}/status/{follower.photo_id}?wait=60"
    async with bench.http.get(url) as answer:
        if answer.status == 503:
            return
        assert answer.status == 200, await answer.text()
        document = await answer.json()
    entries = [{**entry, "photo_id": follower.photo_id} for entry in document["timeline"]]
    assert entries[: len(follower.frames)] == follower.frames
    follower.frames = entries
    follower.ended = document["status"] in ("done", "failed")


@dataclass
class FollowerOfAll:
    """Follows every photo and goes on from the newest time it has seen."""

    bench: Bench
    since: datetime | None
    seen: defaultdict[str, list[Frame]] = field(default_factory=lambda: defaultdict(list))
    cuts: int = 0
    codes: list[int | None] = field(default_factory=list)

    async def follow(self) -> None:
        while True:
            with suppress(*_NETWORK):
                async with asyncio.timeout(4 * self.bench.patience()):
                    await self._connect()
            self.cuts += 1
            await asyncio.sleep(0)

    async def _connect(self) -> None:
        since = self.since.isoformat().replace("+00:00", "Z") if self.since else ""
        query = {"since": since} if since else {}
        async with self.bench.http.ws_connect(f"{self.bench.url()}/ws", params=query) as socket:
            last: dict[str, int] = {}
            left = self.bench.chance.randint(1, MOST_FRAMES)
            try:
                async for message in socket:
                    self._take(json.loads(message.data), last)
                    left -= 1
                    if left == 0:
                        raise ConnectionError("cut")
                self.codes.append(socket.close_code)
            finally:
                socket._response.close()

    def _take(self, frame: Frame, last: dict[str, int]) -> None:
        at = datetime.fromisoformat(frame["at"])
        self.since = max(self.since or at, at)
        if frame["type"] == "snapshot":
            assert frame["photos"] == [], "a snapshot only before the first upload"
            return
        photo_id, revision = frame["photo_id"], frame["revision"]
        # Within a connection exact; over a cut from any revision that was seen before.
        assert revision == last.get(photo_id, revision - 1) + 1
        last[photo_id] = revision
        seen = self.seen[photo_id]
        if revision > len(seen):
            assert revision == len(seen) + 1, "a gap"
            seen.append(frame)
