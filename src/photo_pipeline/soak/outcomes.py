"""An independent subscriber: a queue of its own on the fanout exchange of outcomes."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from photo_pipeline.broker.connection import Link
from photo_pipeline.broker.consume import Delivery, Verdict, consuming
from photo_pipeline.broker.topology import (
    DELIVERY_LIMIT,
    Binding,
    Names,
    Queue,
    Topology,
    build_topology,
)
from photo_pipeline.domain.messages import OutcomeEvent
from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS
from photo_pipeline.errors import MalformedMessageError
from photo_pipeline.settings import BrokerSettings

NAME: Final = "soak.outcomes"
PREFETCH: Final = 100  # handling one costs microseconds
GRACE_S: Final = 5.0


@dataclass(slots=True)
class Heard:
    """How often each event of each photo was delivered; ``nonsense`` is no outcome event."""

    events: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    nonsense: int = 0

    async def __call__(self, delivery: Delivery) -> Verdict:
        """Count one delivery."""
        try:
            event = OutcomeEvent.decode(delivery.body)
        except MalformedMessageError:
            self.nonsense += 1
        else:
            self.events[event.photo_id][event.event_id] += 1
        return Verdict.ACK


def pipeline_topology(settings: BrokerSettings) -> Topology:
    """Return what the roles declare."""
    return build_topology(
        Names(settings.topology_prefix),
        stages=PIPELINE,
        subscribers=SUBSCRIBERS,
        retry_delays_s=settings.retry_delays_s,
    )


@asynccontextmanager
async def hearing_outcomes(
    settings: BrokerSettings, topology: Topology, heard: Heard
) -> AsyncIterator[Link]:
    """Count every outcome from now on, as long as the block runs; declares *topology* as well.

    The queue is durable: what is told while the connection is down is heard later.
    """
    queue = Queue(
        name=NAME,
        bindings=(Binding(Names(settings.topology_prefix).outcomes, ""),),
        arguments={"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT},
    )
    async with consuming(
        settings.amqp_url,
        NAME,
        heard,
        name="soak",
        topology=replace(topology, queues=(*topology.queues, queue)),
        prefetch=PREFETCH,
        grace_s=GRACE_S,
    ) as link:
        yield link
