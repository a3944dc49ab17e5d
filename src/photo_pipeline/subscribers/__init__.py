"""Who listens to ``processed_images``: one module a subscriber."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module

from photo_pipeline.domain.messages import OutcomeEvent
from photo_pipeline.metrics import Metrics
from photo_pipeline.settings import Settings
from photo_pipeline.storage.blobs import Blobs
from photo_pipeline.storage.deliveries import Deliveries
from photo_pipeline.storage.photos import Photos

Handle = Callable[[OutcomeEvent], Awaitable[None]]
"""Handle one event. It may come more than once, with the same ``event_id``. An exception
brings it back after a delay; a permanent error sends it to the dead letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a subscriber may use."""

    settings: Settings
    photos: Photos
    blobs: Blobs
    deliveries: Deliveries
    metrics: Metrics


OpenSubscriber = Callable[[Tools], AbstractAsyncContextManager[Handle]]


def load(name: str) -> OpenSubscriber:
    """Import ``photo_pipeline.subscribers.<name>`` and return its ``open_subscriber``."""
    opener: OpenSubscriber = import_module(f"{__name__}.{name}").open_subscriber
    return opener


def prefetch_of(name: str, default: int) -> int:
    """Return how many events the subscriber takes at a time: its ``PREFETCH``, else *default*."""
    prefetch: int = getattr(import_module(f"{__name__}.{name}"), "PREFETCH", default)
    return prefetch
