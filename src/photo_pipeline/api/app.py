"""The web application, put together and served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from photo_pipeline.api import keys
from photo_pipeline.api.background import Background
from photo_pipeline.api.door import Door
from photo_pipeline.api.feed import Feed
from photo_pipeline.api.hub import Hub
from photo_pipeline.api.in_work import InWork
from photo_pipeline.api.limits import Limits
from photo_pipeline.api.middleware import observe, set_common_headers
from photo_pipeline.api.rates import Rates
from photo_pipeline.api.routes import routes
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.broker.topology import Names, Topology
from photo_pipeline.domain.planning import Plans
from photo_pipeline.health import Health
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.blobs import Blobs
from photo_pipeline.storage.dead_letters import DeadLetters
from photo_pipeline.storage.idempotency import IdempotencyKeys
from photo_pipeline.storage.photos import Photos

log = structlog.get_logger()

CUT_S: Final = 1.0  # for requests that are cut; aiohttp takes it twice, and 0 for no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the API is made of."""

    photos: Photos
    blobs: Blobs
    idempotency: IdempotencyKeys
    dead_letters: DeadLetters
    take_out: keys.TakeOut
    ask_worker: keys.AskWorker
    publisher: Publisher
    feed: Feed
    hub: Hub
    rates: Rates
    names: Names
    topology: Topology
    count_queues: keys.CountQueues
    plans: Plans
    limits: Limits
    health: Health
    metrics: Metrics


def make_app(parts: Parts) -> web.Application:
    """Return the application; it opens nothing by itself."""
    app = web.Application(middlewares=[observe], client_max_size=parts.limits.upload_bytes)
    app[keys.PHOTOS] = parts.photos
    app[keys.BLOBS] = parts.blobs
    app[keys.IDEMPOTENCY] = parts.idempotency
    app[keys.DOOR] = Door(parts.limits, parts.blobs)
    app[keys.DEAD_LETTERS] = parts.dead_letters
    app[keys.TAKE_OUT] = parts.take_out
    app[keys.ASK_WORKER] = parts.ask_worker
    app[keys.PUBLISHER] = parts.publisher
    app[keys.FEED] = parts.feed
    app[keys.HUB] = parts.hub
    app[keys.RATES] = parts.rates
    app[keys.NAMES] = parts.names
    app[keys.TOPOLOGY] = parts.topology
    app[keys.COUNT_QUEUES] = parts.count_queues
    app[keys.PLANS] = parts.plans
    app[keys.LIMITS] = parts.limits
    app[keys.HEALTH] = parts.health
    app[keys.METRICS] = parts.metrics
    app[keys.BACKGROUND] = Background()
    app[keys.STOPPING] = asyncio.Event()
    app.add_routes(routes(parts.metrics))
    app.on_response_prepare.append(set_common_headers)
    app.on_shutdown.append(_stop_waiting)
    return app


async def _stop_waiting(app: web.Application) -> None:
    app[keys.STOPPING].set()


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int, grace_s: float) -> AsyncIterator[str]:
    """Serve *app* for as long as the block runs; yield its address (port 0: a free one).

    At the end no new connection is taken; requests in work and what they leave to be done get
    *grace_s* seconds together.
    """
    in_work = InWork()
    app.middlewares.insert(0, in_work.track)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=grace_s)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::", "") else host  # noqa: S104
        log.info("api.listening", host=host, port=bound)
        yield f"http://{shown}:{bound}"
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                for listener in runner.sites:
                    await listener.stop()
                await app.shutdown()  # the streams end
                await in_work.drained()
                await runner.cleanup()
                await app[keys.BACKGROUND].drain(grace_s)
        if runner.server is not None:  # not all have ended: cut them
            await runner.server.shutdown(CUT_S)
        await app[keys.BACKGROUND].drain(0)
