"""Consumers that are lost in every way there is, at a real RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from photo_pipeline.broker.consume import Consumer
from photo_pipeline.broker.deliveries import Delivery, Verdict
from photo_pipeline.broker.listen import listening
from photo_pipeline.broker.topology import declare
from photo_pipeline.domain.messages import first_message, latest_event
from photo_pipeline.embedded.launcher import EmbeddedServers
from photo_pipeline.errors import BrokerUnavailableError, ConsumerStuckError
from photo_pipeline.settings import Settings
from support.pipeline import TRACE, make_photo
from support.rabbit import STAGES, Broker, consuming_first, is_up, open_broker
from support.waiting import until

LOOK_EVERY_S = 0.1


@pytest.fixture
async def broker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Broker]:
    for module in ("watchdog", "consume"):
        monkeypatch.setattr(f"photo_pipeline.broker.{module}.LOOK_EVERY_S", LOOK_EVERY_S)
    monkeypatch.setattr("photo_pipeline.broker.deliveries.FIRST_PAUSE_S", 0.05)
    async with open_broker(settings) as broker:
        yield broker


async def _send(broker: Broker, count: int = 1) -> None:
    for _ in range(count):
        await broker.publisher.work(first_message(make_photo(STAGES)), traceparent=TRACE)


async def _seen(broker: Broker, count: int) -> bool:
    return len(broker.seen) >= count


def _is_down(consumer: Consumer) -> Callable[[], Awaitable[bool]]:
    up = is_up(consumer)

    async def asked() -> bool:
        return not await up()

    return asked


async def _consumers(broker: Broker, queue: str) -> int:
    """Ask as somebody else: the counts of the consumer's own connection are under test."""
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        declared = await channel.declare_queue(queue, passive=True)
        return declared.declaration_result.consumer_count or 0


async def _has_consumers(broker: Broker, queue: str, count: int) -> bool:
    return await _consumers(broker, queue) == count


def _channel_and_tag(consumer: Consumer) -> tuple[AbstractChannel, str]:
    ((channel, tag),) = consumer._tags.items()
    return channel, tag


@pytest.mark.parametrize("redeclared", ["at once", "later"])
async def test_a_queue_deleted_and_declared_again_by_others_is_consumed_again(
    broker: Broker, redeclared: str
) -> None:
    """At once: RabbitMQ 3.10 may then tell nobody, and count the consumer as one of the new."""
    async with consuming_first(broker, broker.collect) as consumer:
        await until(is_up(consumer))
        channel, _ = _channel_and_tag(consumer)
        await broker.channel.queue_delete(f"{broker.names.prefix}first")
        if redeclared == "later":
            await until(_is_down(consumer), every_s=0.005)
        await declare(broker.channel, broker.topology)
        await _send(broker, 2)
        await until(partial(_seen, broker, 2))
        assert channel.is_closed
        await until(is_up(consumer))
    assert len({delivery.body for delivery in broker.seen}) == 2


async def test_a_consumer_to_which_nothing_comes_begins_anew_now_and_then(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of the messages are handed to it and get lost on the way; none waits in the queue."""
    monkeypatch.setattr("photo_pipeline.broker.watchdog.LONGEST_IDLE_S", 0.5)
    async with consuming_first(broker, broker.collect, prefetch=3) as consumer:
        await until(is_up(consumer))
        channel, tag = _channel_and_tag(consumer)
        _deafen(await channel.get_underlay_channel(), tag)
        await _send(broker, 2)
        await until(partial(_seen, broker, 2))


async def test_a_channel_that_rabbitmq_closed_for_holding_too_long_is_opened_again(
    broker: Broker, servers: EmbeddedServers
) -> None:
    """The broker's own consumer_timeout: the handler hangs at first."""
    hung = asyncio.Event()

    async def handler(delivery: Delivery) -> Verdict:
        broker.seen.append(delivery)
        if len(broker.seen) == 1:
            await hung.wait()
        return Verdict.ACK

    await _set_env(servers, consumer_timeout="1000", channel_tick_interval="200")
    try:
        async with consuming_first(broker, handler) as consumer:
            await until(is_up(consumer))
            await _send(broker)
            await until(partial(_seen, broker, 1))
            await until(_is_down(consumer), every_s=0.005)
            await until(partial(_seen, broker, 2))
            await until(is_up(consumer))
            hung.set()
        assert broker.seen[1].redelivered
        assert await broker.bodies("first") == []
    finally:
        await _set_env(servers, consumer_timeout="1800000", channel_tick_interval="60000")


async def _set_env(servers: EmbeddedServers, **values: str) -> None:
    sets = [f"application:set_env(rabbit, {name}, {value})" for name, value in values.items()]
    await servers.rabbitmq.rabbitmqctl("eval", f"{', '.join(sets)}.")


async def test_what_is_held_too_long_is_settled_before_rabbitmq_takes_it_away(
    broker: Broker, servers: EmbeddedServers
) -> None:
    """A handler that hangs, or that can do nothing now: both give back in their own time."""

    async def hang(delivery: Delivery) -> Verdict:
        broker.seen.append(delivery)
        await asyncio.Event().wait()
        return Verdict.ACK

    await _set_env(servers, consumer_timeout="3000", channel_tick_interval="200")
    try:
        async with consuming_first(broker, hang, handling_s=1) as consumer:
            await until(is_up(consumer))
            channel, _ = _channel_and_tag(consumer)
            await _send(broker)
            await until(partial(_seen, broker, 5))
            assert not channel.is_closed
        # Given back twice at least, by us and not by the broker.
        assert any(delivery.headers.get("x-delivery-count") for delivery in broker.seen)
    finally:
        await _set_env(servers, consumer_timeout="1800000", channel_tick_interval="60000")


async def test_a_consumer_that_silently_is_gone_is_noticed_and_rebuilt(broker: Broker) -> None:
    queue = f"{broker.names.prefix}first"
    async with consuming_first(broker, broker.collect) as consumer:
        await until(is_up(consumer))
        channel, tag = _channel_and_tag(consumer)
        await (await channel.get_underlay_channel()).basic_cancel(tag)
        assert await _consumers(broker, queue) == 0
        assert not channel.is_closed
        await until(_is_down(consumer), every_s=0.005)
        await until(partial(_has_consumers, broker, queue, 1))
        await _send(broker)
        await until(partial(_seen, broker, 1))


def _deafen(channel: Any, tag: str) -> None:
    """Let deliveries arrive and nobody be called for them."""

    async def swallow(_: object) -> None:
        return None

    channel.consumers[tag] = swallow


async def test_a_consumer_whose_callback_no_longer_runs_is_rebuilt(broker: Broker) -> None:
    async with consuming_first(broker, broker.collect) as consumer:
        await until(is_up(consumer))
        channel, tag = _channel_and_tag(consumer)
        _deafen(await channel.get_underlay_channel(), tag)
        await _send(broker, 3)
        await until(partial(_seen, broker, 3))
    assert len({delivery.body for delivery in broker.seen}) == 3


async def test_a_consumer_that_cannot_be_mended_ends_its_process(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photo_pipeline.broker.watchdog.MAX_REBUILDS", 1)

    async def swallow(*_: object) -> None:
        return None

    monkeypatch.setattr("photo_pipeline.broker.deliveries.Deliveries.on_message", swallow)
    await _send(broker, 3)
    with pytest.raises(ConsumerStuckError, match="messages wait and none arrives"):
        async with consuming_first(broker, broker.collect), asyncio.timeout(60):
            await asyncio.Event().wait()


async def test_a_listener_that_silently_is_gone_hears_again(broker: Broker) -> None:
    bodies: list[bytes] = []
    async with listening(
        broker.url, broker.names.status, bodies.append, name="test", topology=broker.topology
    ) as link:
        await until(is_up(link))
        channel = await link.channel(0)
        underlay = await channel.get_underlay_channel()
        (tag,) = underlay.consumers  # type: ignore[attr-defined]  # of the real one
        await underlay.basic_cancel(tag)

        async def heard() -> bool:
            await broker.publisher.status(latest_event(make_photo()), traceparent=TRACE)
            return bool(bodies)

        await until(heard)
        assert channel.is_closed, "it never went deaf"


@asynccontextmanager
async def _alarm(servers: EmbeddedServers) -> AsyncIterator[None]:
    await servers.rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0.0001")
    try:
        yield
    finally:
        await servers.rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0.4")


async def test_a_long_alarm_does_not_use_up_the_deliveries_of_what_is_held(
    broker: Broker, servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm of hours, scaled down: hours stand for seconds."""
    monkeypatch.setattr("photo_pipeline.broker.publisher.PATIENCE_S", 0.2)
    monkeypatch.setattr("photo_pipeline.broker.publisher.CONFIRM_TIMEOUT_S", 0.3)
    monkeypatch.setattr("photo_pipeline.broker.consume.PAUSE_AFTER_S", 0.3)
    queue = f"{broker.names.prefix}first"
    alarmed = asyncio.Event()

    async def forward(delivery: Delivery) -> Verdict:
        broker.seen.append(delivery)
        await alarmed.wait()
        message = first_message(make_photo(STAGES)).model_copy(update={"stage": "second"})
        try:
            await broker.publisher.work(message, traceparent=TRACE)
        except BrokerUnavailableError:
            return Verdict.AGAIN
        return Verdict.ACK

    async def given_back_and_left() -> bool:
        async with await aio_pika.connect(broker.url) as connection:
            channel = await connection.channel()
            declared = (await channel.declare_queue(queue, passive=True)).declaration_result
        return (declared.message_count, declared.consumer_count) == (1, 0)

    async with consuming_first(broker, forward, handling_s=3) as consumer:
        await until(is_up(consumer))
        await _send(broker)
        await until(partial(_seen, broker, 1))
        async with _alarm(servers):
            alarmed.set()
            await until(given_back_and_left)
            assert not await is_up(consumer)(), "ready although it takes nothing"
            tries = len(broker.seen)
            loop = asyncio.get_running_loop()
            end = loop.time() + 3

            async def over() -> bool:
                assert await given_back_and_left()
                return loop.time() > end

            await until(over)
            assert len(broker.seen) == tries, "handled again although nothing can come of it"
        await until(is_up(consumer))

        async def forwarded() -> bool:
            return bool(await broker.bodies("second"))

        await until(forwarded)
    assert max(d.headers.get("x-delivery-count", 0) for d in broker.seen) <= 2
