"""How long the server takes to end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession, web

from photo_pipeline.api import keys
from photo_pipeline.api.app import CUT_S, serving
from photo_pipeline.api.background import Background
from support.waiting import until


@pytest.mark.parametrize("grace_s", [0, 0.5])
async def test_what_does_not_end_in_time_is_cut(grace_s: float) -> None:
    never, taken = asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        taken.set()
        await never.wait()
        return web.Response()

    async def left_to_be_done() -> None:
        await never.wait()

    app = web.Application()
    app[keys.BACKGROUND] = Background()
    app.router.add_get("/", hang)
    loop = asyncio.get_running_loop()
    async with ClientSession() as http:
        async with serving(app, "127.0.0.1", 0, grace_s) as address:
            asking = asyncio.create_task(http.get(address.replace("localhost", "127.0.0.1")))
            await taken.wait()
            app[keys.BACKGROUND].spawn("left to be done", left_to_be_done())
            stopped = loop.time()
        assert loop.time() - stopped < grace_s + 2 * CUT_S + 5  # not for ever
        (error,) = await asyncio.gather(asking, return_exceptions=True)
    assert isinstance(error, Exception)


async def test_a_request_whose_body_still_comes_is_answered() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def measure(request: web.Request) -> web.Response:
        begun.set()
        return web.Response(text=str(len(await request.read())))

    async def body() -> AsyncIterator[bytes]:
        yield b"first half"
        await go_on.wait()
        yield b"other half"

    app = web.Application()
    app[keys.BACKGROUND] = Background()
    app.router.add_post("/", measure)
    async with ClientSession() as http, AsyncExitStack() as stack:
        address = await stack.enter_async_context(serving(app, "127.0.0.1", 0, 30))
        url = address.replace("localhost", "127.0.0.1")
        asking = asyncio.create_task(http.post(url, data=body()))
        await begun.wait()
        stopping = asyncio.create_task(stack.aclose())
        await until(lambda: _takes_no_connection(url))
        go_on.set()
        answer = await asking
        assert await answer.text() == "20"
        await stopping


async def _takes_no_connection(url: str) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    except OSError:
        return True
    writer.close()
    return False
