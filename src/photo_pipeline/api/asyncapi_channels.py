"""The channels of the AsyncAPI document, from the topology that is declared on RabbitMQ.

A channel for each exchange, for each queue, and for each path that becomes a WebSocket.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from photo_pipeline.api.asyncapi_messages import (
    AMQP_BINDING,
    DEAD_OUTCOME,
    DEAD_WORK,
    MALFORMED,
    OUTCOME,
    REPEATED_OUTCOME,
    SNAPSHOT_FRAME,
    SNAPSHOT_OF_ALL_FRAME,
    STATUS,
    STATUS_FRAME,
    TRIAL,
    TRIAL_ANSWER,
    WORK,
    Json,
    Message,
)
from photo_pipeline.api.openapi import openapi_document
from photo_pipeline.broker.topology import Exchange, Names, Queue, Topology
from photo_pipeline.domain.pipeline import SUBSCRIBERS

BROKER: Final = "rabbitmq"
API: Final = "api"
FEED_QUEUE: Final = "feed"
ANSWER_QUEUE: Final = "trial.answer"
_WS_BINDING: Final = {"bindingVersion": "0.1.0"}
_SWITCHING: Final = "101"  # the status with which an HTTP connection becomes a WebSocket


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel under its id, with the messages that travel on it."""

    id: str
    described: Json
    messages: tuple[Message, ...]


def carried(names: Names, exchange: str, key: str) -> tuple[Message, ...]:
    """Return what *exchange* may bring to a queue that is bound under *key*."""
    to_subscriber = key in {names.subscriber_key(each) for each in SUBSCRIBERS}
    if exchange == names.work:
        return (REPEATED_OUTCOME,) if to_subscriber else (WORK, TRIAL)
    if exchange == names.dead:
        return (DEAD_OUTCOME if to_subscriber else DEAD_WORK, MALFORMED)
    if exchange == names.outcomes:
        return (OUTCOME,)
    if exchange == names.status:
        return (STATUS,)
    return (WORK, REPEATED_OUTCOME)  # a delay serves everybody


def exchange_id(names: Names, exchange: str) -> str:
    """Return the id of an exchange's channel: without the prefix, the same everywhere."""
    return f"exchange.{exchange.removeprefix(names.prefix)}"


def queue_id(names: Names, queue: str) -> str:
    """Return the id of a queue's channel."""
    return f"queue.{queue.removeprefix(names.prefix)}"


def broker_channels(names: Names, topology: Topology) -> list[Channel]:
    """Return the channels of RabbitMQ."""
    return [
        *(_exchange(names, topology, exchange) for exchange in topology.exchanges),
        *(_queue(names, queue) for queue in topology.queues),
        _feed_queue(names),
        _answer_queue(names),
    ]


def _exchange(names: Names, topology: Topology, exchange: Exchange) -> Channel:
    keys = [b.key for q in topology.queues for b in q.bindings if b.exchange == exchange.name]
    messages = _distinct(m for key in keys or [""] for m in carried(names, exchange.name, key))
    described: Json = {
        "title": f"{exchange.kind.capitalize()} exchange {exchange.name}",
        **_address(names, exchange, keys),
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": exchange.name,
                    "type": exchange.kind,
                    "durable": True,
                    "autoDelete": False,
                },
                **AMQP_BINDING,
            }
        },
    }
    return Channel(exchange_id(names, exchange.name), _on(BROKER, described, messages), messages)


def _address(names: Names, exchange: Exchange, keys: list[str]) -> Json:
    """Return the routing key: of an exchange's channel it is the address."""
    if exchange.name == names.outcomes:
        return {"address": ""}
    if exchange.kind == "direct":
        key: Json = {"description": "The queue that is meant.", "enum": keys}
    elif exchange.kind == "topic":
        key = {"description": "The photo's id.", "location": "$message.payload#/photo_id"}
    else:
        key = {"description": "Kept for the exchange to which the message goes on."}
    return {"address": "{key}", "parameters": {"key": key}}


def _queue(names: Names, queue: Queue) -> Channel:
    messages = _distinct(m for b in queue.bindings for m in carried(names, b.exchange, b.key))
    described: Json = {
        "title": f"Queue {queue.name}",
        "address": queue.name,
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {
                    "name": queue.name,
                    "durable": True,
                    "exclusive": False,
                    "autoDelete": False,
                },
                "x-arguments": dict(queue.arguments),
                "x-bindings": [
                    {"exchange": each.exchange, "routingKey": each.key} for each in queue.bindings
                ],
                **AMQP_BINDING,
            }
        },
    }
    return Channel(queue_id(names, queue.name), _on(BROKER, described, messages), messages)


def _feed_queue(names: Names) -> Channel:
    described: Json = {
        "title": "Status events of one API process",
        "description": "RabbitMQ names the queue, which ends with its connection.",
        "address": None,
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {"durable": False, "exclusive": True, "autoDelete": True},
                "x-bindings": [{"exchange": names.status, "routingKey": "#"}],
                **AMQP_BINDING,
            }
        },
    }
    messages = carried(names, names.status, "#")
    return Channel(queue_id(names, FEED_QUEUE), _on(BROKER, described, messages), messages)


def _answer_queue(names: Names) -> Channel:
    described: Json = {
        "title": "The answer to one trial",
        "description": "RabbitMQ names the queue, which ends with the connection of who asked; "
        "the trial's property `reply_to` tells it, and the default exchange leads there.",
        "address": None,
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {"durable": False, "exclusive": True, "autoDelete": True},
                **AMQP_BINDING,
            }
        },
    }
    messages = (TRIAL_ANSWER,)
    return Channel(queue_id(names, ANSWER_QUEUE), _on(BROKER, described, messages), messages)


def stream_channels() -> list[Channel]:
    """Return the channels of the WebSockets, as the OpenAPI document describes their opening."""
    operations = (
        (path, operation)
        for path, item in json.loads(openapi_document())["paths"].items()
        for operation in item.values()
    )
    return [_stream(path, each) for path, each in operations if _SWITCHING in each["responses"]]


def _stream(path: str, operation: Json) -> Channel:
    parameters = operation.get("parameters", [])
    of_one = any(each["in"] == "path" for each in parameters)
    messages = (SNAPSHOT_FRAME if of_one else SNAPSHOT_OF_ALL_FRAME, STATUS_FRAME)
    described: Json = {
        "title": operation["summary"],
        "description": operation["description"],
        "address": path,
        "parameters": {
            each["name"]: {"description": each["description"]}
            for each in parameters
            if each["in"] == "path"
        },
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {
                        each["name"]: {**each["schema"], "description": each["description"]}
                        for each in parameters
                        if each["in"] == "query"
                    },
                },
                **_WS_BINDING,
            }
        },
    }
    return Channel(operation["operationId"], _on(API, described, messages), messages)


def _on(server: str, described: Json, messages: tuple[Message, ...]) -> Json:
    return {
        **described,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {
            each.name: {"$ref": f"#/components/messages/{each.name}"} for each in messages
        },
    }


def _distinct(messages: Iterable[Message]) -> tuple[Message, ...]:
    return tuple(dict.fromkeys(messages))
