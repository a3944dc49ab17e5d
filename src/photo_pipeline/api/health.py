"""Liveness, readiness and metrics: in the API and on every role's probe port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from photo_pipeline.api.keys import HEALTH, METRICS
from photo_pipeline.api.middleware import observe, set_common_headers
from photo_pipeline.api.problems import json_response
from photo_pipeline.api.slashes import with_slashes
from photo_pipeline.health import Health
from photo_pipeline.metrics import Metrics

log = structlog.get_logger()


async def get_healthz(_: web.Request) -> web.Response:
    """Answer as long as the event loop turns."""
    return json_response({"status": "ok"})


async def get_readyz(request: web.Request) -> web.Response:
    """Answer 200 when everything this process has opened is well, else 503 with the reasons."""
    checks = await request.app[HEALTH].report()
    ready = all(result == "ok" for result in checks.values())
    return json_response(
        {"status": "ready" if ready else "not ready", "checks": dict(checks)},
        status=200 if ready else 503,
    )


def health_routes(metrics: Metrics) -> list[web.RouteDef]:
    """Return the three routes."""
    return [
        web.get("/healthz", get_healthz),
        web.get("/readyz", get_readyz),
        web.get("/metrics", make_aiohttp_handler(metrics.registry)),
    ]


@asynccontextmanager
async def serving_probes(
    host: str, port: int, health: Health, metrics: Metrics
) -> AsyncIterator[None]:
    """Serve only the probes on *port* for as long as the block runs; 0 serves nothing."""
    if not port:
        yield
        return
    app = web.Application(middlewares=[observe])
    app[HEALTH] = health
    app[METRICS] = metrics
    app.add_routes(with_slashes(health_routes(metrics)))
    app.on_response_prepare.append(set_common_headers)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        log.info("probes.listening", port=port)
        yield
    finally:
        await runner.cleanup()
