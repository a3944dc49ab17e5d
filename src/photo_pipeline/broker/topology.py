"""Every exchange, queue and binding, declared here and nowhere else.

Derived by a pure function from the registry, so that a test can print it. It behaves the
same on RabbitMQ 3.10 and 4.x because nothing is left to defaults that differ: the delivery
limit is explicit, dead-lettering is at-least-once with ``reject-publish`` (without which the
broker silently falls back to at-most-once), and no dead-letter route leads in a circle.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from aio_pika.abc import AbstractChannel, ExchangeType

from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS

DELIVERY_LIMIT: Final = 20
"""Guard against crash loops only; our own attempt counter decides long before. Every unclean
restart of a consumer costs one, so it stays well above the attempts of a stage."""

NO_DELIVERY_LIMIT: Final = 1_000_000
"""Never reached: a dead or a delayed message may be looked at and put back as often as anybody
likes. Without a limit of its own a queue of RabbitMQ 4 has one of 20; "none" cannot be said in
a way that 3.10 and 4.x both understand (-1 loses messages on 3.10)."""

_DECLARE_TIMEOUT_S: Final = 20.0  # a first quorum queue on a loaded broker takes seconds

_QUORUM: Final[Mapping[str, Any]] = {"x-queue-type": "quorum"}
_DEAD: Final[Mapping[str, Any]] = {**_QUORUM, "x-delivery-limit": NO_DELIVERY_LIMIT}
_SAFE: Final[Mapping[str, Any]] = {
    **_QUORUM,
    "x-overflow": "reject-publish",
    "x-dead-letter-strategy": "at-least-once",
}

Kind = Literal["direct", "fanout", "topic"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Binding:
    """Messages of *exchange* with this routing key go to the queue."""

    exchange: str
    key: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue with its arguments."""

    name: str
    bindings: tuple[Binding, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything to declare, in an order in which every dead-letter target comes first."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """The one family of names; *prefix* keeps several pipelines on one broker apart."""

    prefix: str = ""

    @property
    def work(self) -> str:
        """Direct exchange for work; the routing key is the stage."""
        return f"{self.prefix}photos"

    @property
    def dead(self) -> str:
        """Direct exchange for dead letters; the routing key is the queue's plain name."""
        return f"{self.prefix}photos.dead"

    @property
    def outcomes(self) -> str:
        """Fanout exchange with one event per photo that reached its outcome."""
        return f"{self.prefix}processed_images"

    @property
    def status(self) -> str:
        """Topic exchange with every change; the routing key is the photo id."""
        return f"{self.prefix}photo_events"

    def retry(self, delay_s: float) -> str:
        """Exchange and queue that hold a message for *delay_s* seconds."""
        return f"{self.prefix}photos.retry.{delay_s:g}"

    def stage_queue(self, stage: str) -> str:
        """Work queue of a stage."""
        return f"{self.prefix}{stage}"

    def subscriber_key(self, subscriber: str) -> str:
        """Routing key under which only this subscriber gets a repeated event."""
        return f"processed_images.{subscriber}"

    def subscriber_queue(self, subscriber: str) -> str:
        """Queue of an outcome subscriber."""
        return f"{self.prefix}{self.subscriber_key(subscriber)}"

    @property
    def dead_files(self) -> str:
        """Queue with a copy of every dead letter, to be filed."""
        return f"{self.prefix}photos.dead.files"

    def dead_queue(self, key: str) -> str:
        """Dead-letter queue of the work routed under *key*."""
        return f"{self.prefix}{key}.dead"


def build_topology(
    names: Names,
    *,
    retry_delays_s: Iterable[float],
    stages: Iterable[str] = PIPELINE,
    subscribers: Iterable[str] = SUBSCRIBERS,
) -> Topology:
    """Derive the whole topology from the registries; no I/O."""
    stages, subscribers, delays_s = tuple(stages), tuple(subscribers), tuple(retry_delays_s)
    keys = (*stages, *(names.subscriber_key(s) for s in subscribers))
    exchanges = (
        Exchange(names.work, "direct"),
        Exchange(names.dead, "direct"),
        Exchange(names.outcomes, "fanout"),
        Exchange(names.status, "topic"),
        *(Exchange(names.retry(delay), "fanout") for delay in delays_s),
    )
    dead = (Queue(names.dead_queue(key), (Binding(names.dead, key),), _DEAD) for key in keys)
    # The broker copies: the one in the dead queue stays until it is replayed or discarded.
    files = Queue(names.dead_files, tuple(Binding(names.dead, key) for key in keys), _DEAD)
    work = (
        Queue(names.stage_queue(s), (Binding(names.work, s),), _work_arguments(names, s))
        for s in stages
    )
    outcome = (_subscriber_queue(names, s) for s in subscribers)
    delayed = (_delay_queue(names, delay) for delay in delays_s)
    return Topology(exchanges, (*dead, files, *work, *outcome, *delayed))


def _work_arguments(names: Names, key: str) -> Mapping[str, Any]:
    return {
        **_SAFE,
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": names.dead,
        "x-dead-letter-routing-key": key,
    }


def _subscriber_queue(names: Names, subscriber: str) -> Queue:
    key = names.subscriber_key(subscriber)
    # The second binding brings an event back that this subscriber alone wants to retry.
    bindings = (Binding(names.outcomes, ""), Binding(names.work, key))
    return Queue(names.subscriber_queue(subscriber), bindings, _work_arguments(names, key))


def _delay_queue(names: Names, delay_s: float) -> Queue:
    """One queue per delay, never one per message: TTLs expire only at the head of a queue.

    No dead-letter routing key: the message keeps its own, so a delay serves every stage.
    """
    arguments = {
        **_SAFE,
        "x-delivery-limit": NO_DELIVERY_LIMIT,
        "x-message-ttl": round(delay_s * 1000),
        "x-dead-letter-exchange": names.work,
    }
    return Queue(names.retry(delay_s), (Binding(names.retry(delay_s), ""),), arguments)


async def declare(channel: AbstractChannel, topology: Topology) -> None:
    """Declare everything, idempotently. A difference to what exists is a channel error (406).

    Two processes that declare the same new quorum queue in the same moment may get an
    internal error from RabbitMQ 3.10: the caller connects again and repeats.
    """
    async with asyncio.timeout(_DECLARE_TIMEOUT_S):
        for exchange in topology.exchanges:
            await channel.declare_exchange(exchange.name, ExchangeType(exchange.kind), durable=True)
        for spec in topology.queues:
            queue = await channel.declare_queue(
                spec.name, durable=True, arguments=dict(spec.arguments)
            )
            for binding in spec.bindings:
                await queue.bind(binding.exchange, binding.key)
