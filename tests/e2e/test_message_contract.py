"""Everything that real roles send is what ``/asyncapi.json`` says, and nothing else is sent."""

import copy
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from photo_pipeline.broker.deliveries import Delivery
from photo_pipeline.broker.publisher import Publisher, open_publisher
from photo_pipeline.broker.topology import Names, Topology
from photo_pipeline.broker.trial import ask
from photo_pipeline.domain.messages import OutcomeEvent, TrialMessage, WorkMessage
from photo_pipeline.domain.photo import utc_now
from photo_pipeline.errors import BlobUnavailableError, MissingBlobError
from photo_pipeline.metrics import Metrics
from photo_pipeline.settings import Settings
from photo_pipeline.worker.subscriber import SubscriberConsumer
from support.messages import Contract, capturing
from support.pipeline import TRACE
from support.processes import SAMPLES, Fleet, RoleProcess
from support.waiting import until

LARGE = SAMPLES / "dandelion-16mp.jpg"
SMALL = SAMPLES / "cat-small.jpg"


async def _contract(fleet: Fleet, api: RoleProcess) -> Contract:
    async with fleet.http.get(f"{api.url}/asyncapi.json") as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        return Contract(await answer.json())


async def test_everything_that_travels_is_in_the_contract(
    fleet: Fleet, settings: Settings, tmp_path: Path
) -> None:
    api = await fleet.start_api()
    contract = await _contract(fleet, api)
    names = Names(settings.broker.topology_prefix)
    url = settings.broker.amqp_url
    async with (
        capturing(url, contract) as captured,
        open_publisher(
            url, name="test", names=names, topology=Topology(exchanges=(), queues=())
        ) as publisher,
    ):
        await publisher.up(10)
        await _retry_and_give_up(fleet, api)
        work = WorkMessage.decode(_first(captured, names.work).body)
        await _let_the_broker_give_up(url, names, publisher, work)
        await fleet.start("workers,subscribers")
        await _succeed_and_fail(fleet, api, tmp_path)
        await _try_out(url, names, work)
        event = OutcomeEvent.decode(_first(captured, names.outcomes).body)
        await _let_a_subscriber_fail(publisher, names, event)
        await _send_what_cannot_be_parsed(url, names)
        await until(_all_seen(contract, captured))
    assert {contract.kind_of(message) for message in captured} == contract.kinds()
    for schema, told in (
        ("WorkMessage", "crashes"),
        ("TrialMessage", "answer_before"),
        ("StatusEvent", "worker"),
        ("OutcomeEvent", "event_id"),
        ("Headers", "traceparent"),
        ("DeadLetterHeaders", "x-worker"),
        ("DeadLetterHeaders", "x-error-frames"),
    ):
        silent = _silent_about(contract, schema, told)
        with pytest.raises(AssertionError, match=told):
            [silent.kind_of(message) for message in captured]
    malformed = [m for m in captured if contract.kind_of(m) == "malformed"]
    assert sorted(m.routing_key or "" for m in malformed) == ["processed_images.monitor", "resize"]
    assert {m.exchange for m in captured} == {exchange for exchange, _ in contract.exchanges()} - {
        names.retry(delay) for delay in settings.broker.retry_delays_s[1:]
    }


def _all_seen(
    contract: Contract, captured: list[AbstractIncomingMessage]
) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        kinds = [contract.kind_of(message) for message in captured]
        return set(kinds) == contract.kinds() and kinds.count("malformed") == 2

    return asked


def _silent_about(contract: Contract, schema: str, told: str) -> Contract:
    document = copy.deepcopy(contract.document)
    described = document["components"]["schemas"][schema]
    del described["properties"][told]
    described["required"] = [name for name in described["required"] if name != told]
    return Contract(document)


def _first(captured: list[AbstractIncomingMessage], exchange: str) -> AbstractIncomingMessage:
    return next(message for message in captured if message.exchange == exchange)


async def _retry_and_give_up(fleet: Fleet, api: RoleProcess) -> None:
    hasty = await fleet.start("resize", environment={"PHOTO_STAGE_TIMEOUT_S": "0.02"})
    document = await fleet.outcome(api, await fleet.upload(api, LARGE))
    assert document["error"]["code"] == "stage_timeout"
    assert "stage.retrying" in [entry["type"] for entry in document["timeline"]]
    assert await hasty.terminate() == 0


async def _let_the_broker_give_up(
    url: str, names: Names, publisher: Publisher, work: WorkMessage
) -> None:
    """Refuse a delivery for good: what the delivery limit does in the end, at once."""
    await publisher.work(work.model_copy(update={"stage": "detect"}), traceparent=TRACE)
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(names.stage_queue("detect"), ensure=False)
        delivery = await until(lambda: queue.get(fail=False))
        assert delivery is not None
        await delivery.reject(requeue=False)


async def _succeed_and_fail(fleet: Fleet, api: RoleProcess, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(SMALL.read_bytes()[:20_000])
    ids = [await fleet.upload(api, path) for path in (SMALL, truncated)]
    documents = await fleet.outcomes(api, ids)
    assert [document["status"] for document in documents] == ["done", "failed"]


async def _try_out(url: str, names: Names, work: WorkMessage) -> None:
    trial = TrialMessage(
        photo_id=work.photo_id, stage="resize", answer_before=utc_now() + timedelta(seconds=30)
    )
    assert (await ask(url, names, trial, TRACE)).error is None


async def _let_a_subscriber_fail(publisher: Publisher, names: Names, event: OutcomeEvent) -> None:
    failures: list[Exception] = [BlobUnavailableError("full"), MissingBlobError("gone")]

    async def handle(_: OutcomeEvent) -> None:
        raise failures.pop(0)

    consumer = SubscriberConsumer(
        name="monitor",
        key=names.subscriber_key("monitor"),
        handle=handle,
        publisher=publisher,
        metrics=Metrics(),
        worker="worker-1",
        retry_delays_s=(0.2,),
    )
    delivery = Delivery(
        body=event.encode(),
        headers={"traceparent": TRACE},
        message_id=event.event_id,
        correlation_id=event.photo_id,
        redelivered=False,
    )
    while failures:
        await consumer(delivery)


async def _send_what_cannot_be_parsed(url: str, names: Names) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for queue in (names.stage_queue("resize"), names.subscriber_queue("monitor")):
            await channel.default_exchange.publish(aio_pika.Message(b"\xff no JSON"), queue)


async def test_every_frame_of_a_stream_is_in_the_contract(fleet: Fleet, tmp_path: Path) -> None:
    api = await fleet.start_api("api,workers")
    contract = await _contract(fleet, api)
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(SMALL.read_bytes()[:20_000])
    for path, last in ((SMALL, "photo.done"), (truncated, "photo.failed")):
        photo_id = await fleet.upload(api, path)
        frames = await _frames(fleet, f"{api.url}/ws/{photo_id}")
        kinds = [contract.frame_kind("/ws/{id}", text) for text in frames]
        assert kinds == ["snapshotFrame", *["statusFrame"] * (len(frames) - 1)]
        frames = await _frames(fleet, f"{api.url}/ws/{photo_id}?since=0")
        kinds = [contract.frame_kind("/ws/{id}", text) for text in frames]
        assert kinds == ["statusFrame"] * len(frames)
        assert last in frames[-1]


async def _frames(fleet: Fleet, url: str) -> list[Any]:
    async with fleet.http.ws_connect(url) as socket:
        return [message.data async for message in socket]
