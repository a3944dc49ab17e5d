"""The broker adapter against a real RabbitMQ."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection

from photo_pipeline.broker.connection import Link, connect, open_link
from photo_pipeline.broker.deliveries import Delivery, Verdict
from photo_pipeline.broker.listen import listening
from photo_pipeline.broker.publisher import open_publisher
from photo_pipeline.broker.topology import DELIVERY_LIMIT, Names, build_topology, declare
from photo_pipeline.domain.messages import WorkMessage, first_message, latest_event
from photo_pipeline.embedded.launcher import EmbeddedServers
from photo_pipeline.embedded.ports import free_ports
from photo_pipeline.errors import BrokerUnavailableError, UnroutableError
from photo_pipeline.settings import Settings
from support.pipeline import TRACE, make_photo
from support.rabbit import STAGES, Broker, consuming_first, is_up, open_broker
from support.waiting import until


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[Broker]:
    async with open_broker(settings) as broker:
        yield broker


async def test_work_arrives_persistent_with_ids_and_trace(broker: Broker) -> None:
    message = first_message(make_photo(STAGES))
    await broker.publisher.work(message, traceparent=TRACE)
    queue = await broker.channel.get_queue(f"{broker.names.prefix}first", ensure=False)
    received = await until(lambda: queue.get(fail=False))
    assert received is not None
    assert WorkMessage.decode(received.body) == message
    assert received.delivery_mode == 2
    assert received.content_type == "application/json"
    assert received.correlation_id == message.photo_id
    assert received.message_id
    assert received.headers["traceparent"] == TRACE
    await received.ack()


async def test_a_retry_comes_back_to_its_stage_after_its_delay(broker: Broker) -> None:
    message = first_message(make_photo(STAGES)).model_copy(update={"stage": "second"})
    loop = asyncio.get_running_loop()
    started = loop.time()
    await broker.publisher.retry(message, delay_s=0.3, traceparent=TRACE)
    found = await until(lambda: broker.bodies("second"))
    assert [WorkMessage.decode(body) for body in found] == [message]
    assert loop.time() - started >= 0.3
    assert await broker.bodies("first") == []


async def test_the_dead_keep_body_and_reason(broker: Broker) -> None:
    await broker.publisher.bury(
        b"\xffnot json", key="first", message_id=None, photo_id=None, headers={"x-error-code": "c"}
    )
    queue = await broker.channel.get_queue(f"{broker.names.prefix}first.dead", ensure=False)
    dead = await until(lambda: queue.get(fail=False))
    assert dead is not None
    assert (dead.body, dead.headers["x-error-code"]) == (b"\xffnot json", "c")
    await dead.ack()


async def test_a_crash_loop_ends_in_the_dead_letters(broker: Broker) -> None:
    """The broker's own guard: the consumer dies with the message again and again."""
    await broker.publisher.work(first_message(make_photo(STAGES)), traceparent=TRACE)
    for _ in range(DELIVERY_LIMIT + 5):
        connection = await aio_pika.connect(broker.url)
        channel = await connection.channel()
        await channel.set_qos(1)
        queue = await channel.get_queue(f"{broker.names.prefix}first", ensure=False)
        message = await queue.get(fail=False)
        await connection.close()
        if message is None and (found := await broker.bodies("first.dead")):
            break
    else:
        found = await until(lambda: broker.bodies("first.dead"))
    assert len(found) == 1


async def test_an_outcome_reaches_every_subscriber_and_a_repeat_only_one(broker: Broker) -> None:
    await broker.publisher.repeat(
        b"again",
        key=broker.names.subscriber_key("other"),
        delay_s=0.3,
        message_id="m",
        photo_id="p",
        headers={"x-attempt": 2},
    )
    exchange = await broker.channel.get_exchange(broker.names.outcomes, ensure=False)
    await exchange.publish(aio_pika.Message(b"outcome"), "")
    assert await until(lambda: broker.bodies("processed_images.monitor")) == [b"outcome"]
    found: Counter[bytes] = Counter()

    async def both() -> bool:
        found.update(await broker.bodies("processed_images.other"))
        return len(found) == 2

    await until(both)
    assert await broker.bodies("processed_images.monitor") == []


async def test_publishing_where_no_queue_is_bound_is_an_error(broker: Broker) -> None:
    message = first_message(make_photo(["elsewhere"]))
    with pytest.raises(UnroutableError, match="elsewhere"):
        await broker.publisher.work(message, traceparent=TRACE)


async def test_what_a_full_queue_refuses_is_an_error_and_never_lost(
    broker: Broker, servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A negative confirm, as a queue without room or without its quorum gives."""
    monkeypatch.setattr("photo_pipeline.broker.publisher.PATIENCE_S", 0.5)
    prefix = broker.names.prefix
    pattern = f"^{prefix}first$".replace(".", r"\.")
    await servers.rabbitmq.rabbitmqctl(
        *("set_policy", "--apply-to", "queues", f"{prefix}full", pattern, '{"max-length": 1}')
    )
    confirmed = 0

    async def fill() -> None:
        nonlocal confirmed
        for _ in range(20):
            await broker.publisher.work(first_message(make_photo(STAGES)), traceparent=TRACE)
            confirmed += 1

    try:
        with pytest.raises(BrokerUnavailableError):
            await fill()
    finally:
        await servers.rabbitmq.rabbitmqctl("clear_policy", f"{prefix}full")
    assert len(await broker.bodies("first")) == confirmed


async def test_consume_settles_each_delivery_once(broker: Broker) -> None:
    messages = [first_message(make_photo(STAGES)) for _ in range(10)]
    for message in messages:
        await broker.publisher.work(message, traceparent=TRACE)
    async with consuming_first(broker, broker.collect, prefetch=3):
        await until(_has(broker, 10))
    assert sorted(d.body for d in broker.seen) == sorted(m.encode() for m in messages)
    assert await broker.bodies("first") == []


def _has(broker: Broker, count: int) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        return len(broker.seen) >= count

    return asked


async def test_trouble_and_a_handler_that_raises_lead_to_another_try(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photo_pipeline.broker.deliveries.FIRST_PAUSE_S", 0.05)
    await broker.publisher.work(first_message(make_photo(STAGES)), traceparent=TRACE)

    async def handler(delivery: Delivery) -> Verdict:
        broker.seen.append(delivery)
        if len(broker.seen) == 1:
            return Verdict.AGAIN
        if len(broker.seen) == 2:
            raise ZeroDivisionError
        return Verdict.ACK

    async with consuming_first(broker, handler):
        await until(_has(broker, 3))
    # Held and handled again here: a return to the broker would count towards its limit.
    assert [d.redelivered for d in broker.seen] == [False, False, False]


async def test_stopping_finishes_what_is_in_work_and_takes_nothing_new(broker: Broker) -> None:
    for _ in range(5):
        await broker.publisher.work(first_message(make_photo(STAGES)), traceparent=TRACE)
    finished = 0
    begun = asyncio.Event()

    async def handler(_: Delivery) -> Verdict:
        nonlocal finished
        begun.set()
        await asyncio.sleep(0.5)
        finished += 1
        return Verdict.ACK

    async with consuming_first(broker, handler, prefetch=2):
        await begun.wait()
    assert finished == 2
    assert len(await until(lambda: broker.bodies("first"))) == 3


async def test_a_connection_lost_while_draining_begins_nothing_new(
    broker: Broker, servers: EmbeddedServers
) -> None:
    for _ in range(5):
        await broker.publisher.work(first_message(make_photo(STAGES)), traceparent=TRACE)
    begun, release = asyncio.Event(), asyncio.Event()

    async def handler(delivery: Delivery) -> Verdict:
        broker.seen.append(delivery)
        begun.set()
        await release.wait()
        return Verdict.ACK

    async with consuming_first(broker, handler) as link:
        await begun.wait()

        async def lose_it() -> None:
            await asyncio.sleep(0.3)
            assert link._link is not None
            link._link.rebuild()
            await asyncio.sleep(1)
            release.set()

        losing = asyncio.create_task(lose_it())
    await losing
    assert len(broker.seen) == 1


async def test_under_an_alarm_nothing_is_written_again_and_again(
    broker: Broker, servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photo_pipeline.broker.publisher.PATIENCE_S", 2.0)
    monkeypatch.setattr("photo_pipeline.broker.publisher.CONFIRM_TIMEOUT_S", 0.3)
    message = first_message(make_photo(STAGES))
    await broker.publisher.work(message, traceparent=TRACE)
    await servers.rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0.0001")
    try:
        for _ in range(3):
            with pytest.raises(BrokerUnavailableError):
                await broker.publisher.work(message, traceparent=TRACE)
    finally:
        await servers.rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0.4")

    async def taken_again() -> bool:
        try:
            await broker.publisher.work(message, traceparent=TRACE)
        except BrokerUnavailableError:
            return False
        return True

    await until(taken_again)
    # The one before the alarm, the one after it, and at most one that was on its way.
    assert 2 <= len(await broker.bodies("first")) <= 3


async def test_a_consumer_whose_queue_was_deleted_comes_back(broker: Broker) -> None:
    async with consuming_first(broker, broker.collect) as link:
        await until(is_up(link))
        await broker.channel.queue_delete(f"{broker.names.prefix}first")

        async def works_again() -> bool:
            try:
                await broker.publisher.work(first_message(make_photo(STAGES)), traceparent=TRACE)
            except (BrokerUnavailableError, UnroutableError):
                return False
            return bool(broker.seen)

        await until(works_again)


async def test_a_listener_hears_every_status_event(broker: Broker) -> None:
    bodies: list[bytes] = []
    async with listening(
        broker.url, broker.names.status, bodies.append, name="test", topology=broker.topology
    ) as link:
        await until(is_up(link))
        event = latest_event(make_photo())
        await broker.publisher.status(event, traceparent=TRACE)

        async def heard() -> bool:
            return bool(bodies)

        await until(heard)
    assert bodies == [event.encode()]


@pytest.mark.parametrize("lost", ["connection", "queue"])
async def test_a_listener_hears_again_after_it_lost_its(
    broker: Broker, servers: EmbeddedServers, lost: str
) -> None:
    bodies: list[bytes] = []
    async with listening(
        broker.url, broker.names.status, bodies.append, name="test", topology=broker.topology
    ) as link:
        await until(is_up(link))
        listed = await servers.rabbitmq.rabbitmqctl(
            "list_bindings", "source_name", "destination_name"
        )
        ((_, queue),) = [
            line.split() for line in listed.splitlines() if line.startswith(broker.names.status)
        ]
        if lost == "queue":
            await servers.rabbitmq.rabbitmqctl("delete_queue", queue)
        else:
            connection = await link.channel(0)
            await connection.close()
        event = latest_event(make_photo())

        async def heard() -> bool:
            await broker.publisher.status(event, traceparent=TRACE)
            return bool(bodies)

        await until(heard, every_s=0.2)


async def test_many_may_declare_the_same_new_topology_at_once(settings: Settings) -> None:
    names = Names(f"{settings.broker.topology_prefix}many.")
    topology = build_topology(names, stages=STAGES, subscribers=(), retry_delays_s=(1,))
    url = settings.broker.amqp_url
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(
                open_publisher(url, name=f"p{n}", names=names, topology=topology)
            )
            for n in range(5)
        ]
        for publisher in opened:
            await until(is_up(publisher))
        connection = await stack.enter_async_context(await aio_pika.connect(url))
        channel = await connection.channel()
        await declare(channel, topology)
        for queue in topology.queues:
            await channel.queue_delete(queue.name)


async def test_of_several_hosts_the_one_that_answers_is_found(settings: Settings) -> None:
    dead, url = free_ports(2), settings.broker.amqp_url
    hosts = ",".join(f"127.0.0.1:{port}" for port in dead)
    several = url.replace("@", f"@{hosts},", 1)

    async def on_up(_: Link, connection: AbstractConnection) -> AbstractChannel:
        return await connection.channel()

    async with open_link(several, name="several", on_up=on_up) as link:
        await link.channel(timeout_s=30)
    async with await connect(several, 5.0) as connection:
        assert not connection.is_closed
    with pytest.raises(BrokerUnavailableError):
        await connect(several.replace(f",{url.rpartition('@')[2]}", "/"), 5.0)
