"""What the roles of one process have in common: opened once, closed last."""

import os
import socket
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from photo_pipeline.api.health import serving_probes
from photo_pipeline.broker.publisher import Publisher, open_publisher
from photo_pipeline.broker.topology import Names, Topology, build_topology
from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS
from photo_pipeline.domain.planning import Plans
from photo_pipeline.domain.preset import make_presets
from photo_pipeline.errors import InvalidPresetError, SettingsError
from photo_pipeline.health import Health
from photo_pipeline.metrics import Metrics
from photo_pipeline.settings import Settings
from photo_pipeline.stages import load
from photo_pipeline.storage.blobs import Blobs
from photo_pipeline.storage.dead_letters import MongoDeadLetters
from photo_pipeline.storage.deliveries import MongoDeliveries
from photo_pipeline.storage.files import open_blobs
from photo_pipeline.storage.idempotency import MongoIdempotencyKeys
from photo_pipeline.storage.mongo import check, open_database
from photo_pipeline.storage.mongo_photos import MongoPhotos


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the roles of one process have in common."""

    settings: Settings
    photos: MongoPhotos
    blobs: Blobs
    deliveries: MongoDeliveries
    idempotency: MongoIdempotencyKeys
    dead_letters: MongoDeadLetters
    publisher: Publisher
    names: Names
    topology: Topology
    health: Health
    metrics: Metrics
    worker: str


@asynccontextmanager
async def open_shared(settings: Settings) -> AsyncIterator[Shared]:
    """Open what every role needs; nothing of it waits for a server to be up."""
    worker = f"{socket.gethostname()}-{os.getpid()}"
    names = Names(settings.broker.topology_prefix)
    topology = build_topology(
        names,
        stages=PIPELINE,
        subscribers=SUBSCRIBERS,
        retry_delays_s=settings.broker.retry_delays_s,
    )
    health, metrics = Health(), Metrics()
    blobs = open_blobs(settings.store.storage_url)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.store.mongo_url))
        stack.enter_context(health.watching("mongodb", partial(check, database)))
        stack.enter_context(health.watching("storage", blobs.check))
        publisher = await stack.enter_async_context(
            open_publisher(settings.broker.amqp_url, name=worker, names=names, topology=topology)
        )
        stack.enter_context(health.watching("rabbitmq", publisher.check))
        await stack.enter_async_context(
            serving_probes(settings.http.http_host, settings.http.health_port, health, metrics)
        )
        yield Shared(
            settings=settings,
            photos=MongoPhotos(database),
            blobs=blobs,
            deliveries=MongoDeliveries(database),
            idempotency=MongoIdempotencyKeys(database),
            dead_letters=MongoDeadLetters(database),
            publisher=publisher,
            names=names,
            topology=topology,
            health=health,
            metrics=metrics,
            worker=worker,
        )


def read_plans(settings: Settings) -> Plans:
    """Return presets and stages, checked against each other; raise SettingsError if not."""
    stages = {name: load(name) for name in PIPELINE}
    try:
        return Plans(make_presets(_preset_tables(settings), stages), stages)
    except InvalidPresetError as error:
        raise SettingsError(f"PHOTO_PRESETS_FILE: {error}") from error


def _preset_tables(settings: Settings) -> Mapping[str, Any]:
    path = settings.process.presets_file
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"PHOTO_PRESETS_FILE: {error}") from error
