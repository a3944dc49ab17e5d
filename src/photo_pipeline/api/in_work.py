"""Requests in work, so that a stop can wait for them.

aiohttp waits for handlers as well, but drops whatever still comes in from the moment it begins to
stop: an upload in flight would wait for the rest of its body until it is cut.
"""

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler


class InWork:
    """The requests that are being handled."""

    def __init__(self) -> None:
        self._ends: set[asyncio.Future[None]] = set()

    @web.middleware
    async def track(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count *request* in until its handler has ended."""
        end = asyncio.get_running_loop().create_future()
        self._ends.add(end)
        try:
            return await handler(request)
        finally:
            self._ends.discard(end)
            end.set_result(None)

    async def drained(self) -> None:
        """Wait for those that are in work now, not for any that come on old connections."""
        if self._ends:
            await asyncio.wait(set(self._ends))
