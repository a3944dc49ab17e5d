"""An independent subscriber: a queue of its own on the fanout exchange of outcomes."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from photo_pipeline.broker.consume import consuming
from photo_pipeline.broker.deliveries import Delivery, Limits, Verdict
from photo_pipeline.broker.topology import (
    DELIVERY_LIMIT,
    Binding,
    Names,
    Queue,
    Topology,
    build_topology,
)
from photo_pipeline.domain.messages import OutcomeEvent
from photo_pipeline.errors import MalformedMessageError
from photo_pipeline.settings import BrokerSettings

NAME: Final = "soak.outcomes"
LIMITS: Final = Limits(prefetch=100, handling_s=10.0, grace_s=5.0)  # handling costs microseconds


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


def soak_topology(settings: BrokerSettings) -> Topology:
    """Return what the roles declare, and our own queue."""
    names = Names(settings.topology_prefix)
    topology = build_topology(
        names,
        retry_delays_s=settings.retry_delays_s,
    )
    own = Queue(
        name=NAME,
        bindings=(Binding(names.outcomes, ""),),
        arguments={"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT},
    )
    return replace(topology, queues=(*topology.queues, own))


@asynccontextmanager
async def hearing_outcomes(url: str, topology: Topology, heard: Heard) -> AsyncIterator[None]:
    """Count every outcome from now on, as long as the block runs; declares *topology*.

    The queue is durable: what is told while the connection is down is heard later.
    """
    async with consuming(
        url, NAME, heard, name="soak", topology=topology, limits=LIMITS, writable=_publish_nothing
    ):
        yield


async def _publish_nothing(_: float) -> None:
    """Wait for nothing: whoever publishes nothing needs no broker that takes messages."""
