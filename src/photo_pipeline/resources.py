"""What the roles of one process have in common: opened once, closed last."""

import os
import socket
import tomllib
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from photo_pipeline.api.health import serving_probes
from photo_pipeline.broker.publisher import Publisher, open_publisher
from photo_pipeline.broker.topology import Names, Topology, build_topology
from photo_pipeline.domain.pipeline import PIPELINE
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

_SHIPPED: Final = files(__package__) / "presets.toml"
_FILE: Final = "_file"


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
    """Return presets and stages, checked against each other; raise SettingsError if not.

    The presets that come with the package, and those of the operator's file, which may replace
    them.
    """
    stages = {name: load(name) for name in PIPELINE}
    path = settings.process.presets_file
    tables = tomllib.loads(_SHIPPED.read_text(encoding="utf-8"))
    try:
        if path is not None:
            tables |= _with_files(tomllib.loads(path.read_text(encoding="utf-8")), path.parent)
        return Plans(make_presets(tables, stages), stages)
    except (OSError, ValueError, InvalidPresetError) as error:
        raise SettingsError(f"PHOTO_PRESETS_FILE: {error}") from error


def _with_files(table: Any, folder: Path) -> Any:
    """Return *table* with the content of a file, in base64, for each key ``<name>_file``.

    A photo carries its preset along, and with it a logo; so a logo is no file for the workers.
    """
    if isinstance(table, list):
        return [_with_files(item, folder) for item in table]
    if not isinstance(table, Mapping):
        return table
    read: dict[str, Any] = {}
    for key, value in table.items():
        if key.endswith(_FILE) and isinstance(value, str):
            content = (folder / value).read_bytes()
            read[key.removesuffix(_FILE)] = b64encode(content).decode()
        else:
            read[key] = _with_files(value, folder)
    return read
