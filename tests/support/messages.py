"""The served ``/asyncapi.json`` as a judge of everything that really travels."""

import copy
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from jsonschema import Draft7Validator

BROKERS_OWN = r"^x-(death|delivery-count|acquired-count|(first|last)-death-\w+)$"
"""Headers that RabbitMQ adds to what it has delayed, delivered again or dead-lettered."""

PROPERTIES = ("content_type", "content_encoding", "message_id", "correlation_id", "app_id")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Contract:
    """The document, made strict: what it does not tell of must not travel.

    For a reader schemas are open, because a newer producer may send more; here both are of the
    same version.
    """

    document: Json
    _closed: Json = field(init=False)

    def __post_init__(self) -> None:
        schemas = copy.deepcopy(self.document["components"]["schemas"])
        for schema in schemas.values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
            if "traceparent" in schema.get("properties", {}):
                schema["patternProperties"] = {BROKERS_OWN: {}}
        object.__setattr__(self, "_closed", schemas)

    def exchanges(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each exchange with the keys under which a queue gets everything."""
        for channel in self.document["channels"].values():
            exchange = channel["bindings"].get("amqp", {}).get("exchange")
            if exchange is not None:
                key = channel.get("parameters", {}).get("key", {})
                yield exchange["name"], key.get("enum", ["#"])

    def kinds(self) -> set[str]:
        """Return the names of all messages that travel through RabbitMQ."""
        messages = self.document["components"]["messages"]
        return {name for name, message in messages.items() if "amqp" in message.get("bindings", {})}

    def kind_of(self, message: AbstractIncomingMessage) -> str:
        """Return which message of its exchange's channel this is; fail if it is none or two."""
        channel = self._channel_of_exchange(message.exchange or "")
        keys = channel.get("parameters", {}).get("key", {}).get("enum")
        assert keys is None or message.routing_key in keys
        return self._only(
            {name: self._faults(each, message) for name, each in self._messages(channel)}
        )

    def frame_kind(self, address: str, text: str) -> str:
        """Return which message of a WebSocket's channel this is; fail if it is none or two."""
        (channel,) = (c for c in self.document["channels"].values() if c["address"] == address)
        frame = json.loads(text)
        return self._only(
            {
                name: self._against(each["payload"], frame, "payload")
                for name, each in self._messages(channel)
            }
        )

    def _channel_of_exchange(self, name: str) -> Json:
        for channel in self.document["channels"].values():
            if channel["bindings"].get("amqp", {}).get("exchange", {}).get("name") == name:
                found: Json = channel
                return found
        raise AssertionError(f"no channel for exchange {name!r}")

    def _messages(self, channel: Json) -> Iterator[tuple[str, Json]]:
        for name, reference in channel["messages"].items():
            assert reference["$ref"] == f"#/components/messages/{name}"
            yield name, self.document["components"]["messages"][name]

    def _faults(self, described: Json, message: AbstractIncomingMessage) -> list[str]:
        properties = {name: getattr(message, name) for name in PROPERTIES}
        properties["delivery_mode"] = int(message.delivery_mode or 0)
        sent = {name: value for name, value in properties.items() if value is not None}
        faults = [
            *self._against(described["headers"], message.headers, "headers"),
            *self._against(described["x-amqp-properties"], sent, "properties"),
        ]
        if sent["content_type"] != described["contentType"]:
            faults.append("content type")
        if "payload" not in described:
            return faults
        try:
            payload = json.loads(message.body)
        except ValueError:
            return [*faults, "no JSON"]
        # The one correlation id that the document tells of, for people.
        assert described["correlationId"]["location"] == "$message.payload#/photo_id"
        if isinstance(payload, dict) and payload.get("photo_id") != sent.get("correlation_id"):
            faults.append("correlation id")
        return [*faults, *self._against(described["payload"], payload, "payload")]

    def _against(self, schema: Json, value: Any, what: str) -> list[str]:
        validator = Draft7Validator(
            {"allOf": [schema], "components": {"schemas": self._closed}},
            format_checker=Draft7Validator.FORMAT_CHECKER,
        )
        return [
            f"{what}{fault.json_path[1:]}: {fault.message[:500]}"
            + "".join(f"\n    {cause.message[:500]}" for cause in fault.context or ())
            for fault in validator.iter_errors(value)
        ]

    @staticmethod
    def _only(faults: Mapping[str, list[str]]) -> str:
        fitting = [name for name, found in faults.items() if not found]
        told = "\n".join(f"  {name}: {'; '.join(found)}" for name, found in faults.items())
        assert len(fitting) == 1, f"fits {fitting or 'nothing'}:\n{told}"
        return fitting[0]


@asynccontextmanager
async def capturing(url: str, contract: Contract) -> AsyncIterator[list[AbstractIncomingMessage]]:
    """Collect a copy of everything that is published to any exchange of the document."""
    captured: list[AbstractIncomingMessage] = []

    async def note(message: AbstractIncomingMessage) -> None:
        captured.append(message)

    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        for exchange, keys in contract.exchanges():
            for key in keys:
                await queue.bind(exchange, key)
        await queue.consume(note, no_ack=True)
        yield captured
