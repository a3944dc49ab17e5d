"""A real receiver of webhooks, on an address of this machine."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDictProxy


@dataclass(frozen=True, slots=True)
class Call:
    """What came in."""

    path: str
    headers: CIMultiDictProxy[str]
    body: bytes


@dataclass
class Receiver:
    """Answers what it is told to answer, by path: the next of ``answers``, at the end 204."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    answers: dict[str, deque[web.Response]] = field(default_factory=dict)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Calls of ``/slow…`` are answered when this is set."""

    def to(self, path: str) -> list[Call]:
        """Return the calls of *path*."""
        return [call for call in self.calls if call.path == path]

    async def heard(self, path: str, times: int = 1) -> list[Call]:
        """Return the calls of *path* once there are as many."""
        calls = self.to(path)
        return calls if len(calls) >= times else []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.calls.append(Call(request.path, request.headers, body))
        if request.path.startswith("/slow"):
            await self.held.wait()
        answers = self.answers.get(request.path)
        return answers.popleft() if answers else web.Response(status=204)


@asynccontextmanager
async def receiving(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Receiver]:
    """Receive webhooks for as long as the block runs; any path will do."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address = runner.addresses[0]
        receiver.url = f"http://{address[0]}:{address[1]}"
        yield receiver
    finally:
        receiver.held.set()
        await runner.cleanup()
