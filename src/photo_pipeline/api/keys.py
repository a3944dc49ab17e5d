"""What the handlers find in the application."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final

from aiohttp import web

from photo_pipeline.api.background import Background
from photo_pipeline.api.door import Door
from photo_pipeline.api.feed import Feed
from photo_pipeline.api.hub import Hub
from photo_pipeline.api.limits import Limits
from photo_pipeline.api.rates import Rates
from photo_pipeline.broker.inspect import QueueCount
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.broker.topology import Names, Topology
from photo_pipeline.domain.messages import TrialAnswer, TrialMessage
from photo_pipeline.domain.planning import Plans
from photo_pipeline.health import Health
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.blobs import Blobs
from photo_pipeline.storage.dead_letters import DeadLetters
from photo_pipeline.storage.idempotency import IdempotencyKeys
from photo_pipeline.storage.photos import Photos

AskWorker = Callable[[TrialMessage, str], Awaitable[TrialAnswer]]

ASK_WORKER: Final[web.AppKey[AskWorker]] = web.AppKey("ask_worker")
BACKGROUND: Final = web.AppKey("background", Background)
BLOBS: Final = web.AppKey("blobs", Blobs)
CountQueues = Callable[[Iterable[str]], Awaitable[dict[str, QueueCount]]]

COUNT_QUEUES: Final[web.AppKey[CountQueues]] = web.AppKey("count_queues")
DOOR: Final = web.AppKey("door", Door)
DEAD_LETTERS: Final = web.AppKey("dead_letters", DeadLetters)
FEED: Final = web.AppKey("feed", Feed)
HEALTH: Final = web.AppKey("health", Health)
HUB: Final = web.AppKey("hub", Hub)
IDEMPOTENCY: Final = web.AppKey("idempotency", IdempotencyKeys)
LIMITS: Final = web.AppKey("limits", Limits)
METRICS: Final = web.AppKey("metrics", Metrics)
NAMES: Final = web.AppKey("names", Names)
PHOTOS: Final = web.AppKey("photos", Photos)
PLANS: Final = web.AppKey("plans", Plans)
PUBLISHER: Final = web.AppKey("publisher", Publisher)
RATES: Final = web.AppKey("rates", Rates)
STOPPING: Final = web.AppKey("stopping", asyncio.Event)
TakeOut = Callable[[str, Collection[str]], Awaitable[int]]

TAKE_OUT: Final[web.AppKey[TakeOut]] = web.AppKey("take_out")
TOPOLOGY: Final = web.AppKey("topology", Topology)
