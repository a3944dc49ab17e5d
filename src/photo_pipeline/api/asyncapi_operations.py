"""The operations of the AsyncAPI document: which role sends and receives what."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from photo_pipeline.api.asyncapi_channels import (
    ANSWER_QUEUE,
    FEED_QUEUE,
    Channel,
    exchange_id,
    queue_id,
)
from photo_pipeline.api.asyncapi_messages import (
    AMQP_BINDING,
    DEAD_OUTCOME,
    DEAD_WORK,
    MALFORMED,
    OUTCOME,
    REPEATED_OUTCOME,
    STATUS,
    TRIAL,
    TRIAL_ANSWER,
    WORK,
    Json,
    Message,
)
from photo_pipeline.broker.publisher import DELIVERY_MODE
from photo_pipeline.broker.topology import Names, Topology
from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS

_API: Final = "api"
_RECONCILE: Final = "reconcile"


@dataclass(frozen=True, slots=True)
class _Operation:
    """What one role does on one channel."""

    role: str
    action: Literal["send", "receive"]
    channel: str
    messages: tuple[Message, ...]
    bindings: Json


def operations(names: Names, topology: Topology, streams: list[Channel]) -> Json:
    """Return every operation under its id."""
    found = (
        *_of_api(names, streams),
        _send(names, _RECONCILE, names.work, WORK),
        _receive(names, _RECONCILE, names.dead_files, DEAD_WORK, DEAD_OUTCOME, MALFORMED),
        *(each for stage in PIPELINE for each in _of_stage(names, topology, stage)),
        *(each for name in SUBSCRIBERS for each in _of_subscriber(names, topology, name)),
    )
    return {f"{each.role}.{each.action}.{each.channel}": _described(each) for each in found}


def _of_api(names: Names, streams: list[Channel]) -> Iterator[_Operation]:
    yield _send(names, _API, names.work, WORK, TRIAL, REPEATED_OUTCOME)
    yield _receive(names, _API, ANSWER_QUEUE, TRIAL_ANSWER, ack=False)
    yield _send(names, _API, names.status, STATUS)
    # Hints only: what is lost with the connection is read from the status document.
    yield _receive(names, _API, FEED_QUEUE, STATUS, ack=False)
    for stream in streams:
        yield _Operation(_API, "send", stream.id, stream.messages, {})


def _of_stage(names: Names, topology: Topology, stage: str) -> Iterator[_Operation]:
    yield _receive(names, stage, names.stage_queue(stage), WORK, TRIAL)
    yield _Operation(stage, "send", queue_id(names, ANSWER_QUEUE), (TRIAL_ANSWER,), {})
    if stage != PIPELINE[-1]:
        yield _send(names, stage, names.work, WORK)
    yield _send(names, stage, names.outcomes, OUTCOME)
    yield _send(names, stage, names.status, STATUS)
    for delay in _delays(names, topology):
        yield _send(names, stage, delay, WORK)
    yield _send(names, stage, names.dead, DEAD_WORK, MALFORMED)


def _of_subscriber(names: Names, topology: Topology, name: str) -> Iterator[_Operation]:
    yield _receive(names, name, names.subscriber_queue(name), OUTCOME, REPEATED_OUTCOME)
    for delay in _delays(names, topology):
        yield _send(names, name, delay, REPEATED_OUTCOME)
    yield _send(names, name, names.dead, DEAD_OUTCOME, MALFORMED)


def _delays(names: Names, topology: Topology) -> list[str]:
    others = (names.work, names.dead, names.outcomes, names.status)
    return [each.name for each in topology.exchanges if each.name not in others]


def _send(names: Names, role: str, exchange: str, *messages: Message) -> _Operation:
    bindings = {
        "deliveryMode": int(DELIVERY_MODE),
        # Nobody listening is no error where anybody may listen.
        "mandatory": exchange not in (names.outcomes, names.status),
        **AMQP_BINDING,
    }
    return _Operation(role, "send", exchange_id(names, exchange), messages, {"amqp": bindings})


def _receive(
    names: Names, role: str, queue: str, *messages: Message, ack: bool = True
) -> _Operation:
    bindings = {"amqp": {"ack": ack, **AMQP_BINDING}}
    return _Operation(role, "receive", queue_id(names, queue), messages, bindings)


def _described(operation: _Operation) -> Mapping[str, object]:
    channel = f"#/channels/{operation.channel}"
    return {
        "action": operation.action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{each.name}"} for each in operation.messages],
        "tags": [{"name": operation.role}],
        "bindings": operation.bindings,
    }
