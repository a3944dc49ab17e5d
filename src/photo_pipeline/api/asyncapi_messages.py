"""The messages in the AsyncAPI document, and their schemas from the models that are sent."""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from photo_pipeline.api.frames import Snapshot, SnapshotOfAll
from photo_pipeline.broker.publisher import CONTENT_ENCODING, CONTENT_TYPE, DELIVERY_MODE
from photo_pipeline.domain.headers import (
    BrokerDeathHeaders,
    DeadLetterHeaders,
    Headers,
    RepeatHeaders,
)
from photo_pipeline.domain.messages import (
    OutcomeEvent,
    StatusEvent,
    TrialAnswer,
    TrialMessage,
    WorkMessage,
)
from photo_pipeline.errors import MalformedMessageError

Json = dict[str, Any]

AMQP_BINDING: Final = {"bindingVersion": "0.3.0"}
_SCHEMAS: Final = "#/components/schemas/"
_PROPERTIES: Final = "AmqpProperties"
_SHORT_STRING: Final = {"type": "string", "minLength": 1, "maxLength": 255}  # AMQP 0-9-1, 4.2.5.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One kind of message; one without *headers* is a frame of a WebSocket."""

    name: str
    summary: str
    payload: type[BaseModel] | None
    headers: tuple[type[Headers], ...] = ()


WORK: Final = Message(
    name="work",
    summary="A photo that waits for a stage, with its routing slip.",
    payload=WorkMessage,
    headers=(Headers,),
)
TRIAL: Final = Message(
    name="trial",
    summary="The wish to try a photo out: `reply_to` names the queue for the answer.",
    payload=TrialMessage,
    headers=(Headers,),
)
TRIAL_ANSWER: Final = Message(
    name="trialAnswer", summary="How a trial went; nothing was kept.", payload=TrialAnswer
)
OUTCOME: Final = Message(
    name="outcome",
    summary="A photo has reached its outcome; told once, repeated with the same event_id.",
    payload=OutcomeEvent,
    headers=(Headers,),
)
REPEATED_OUTCOME: Final = Message(
    name="repeatedOutcome",
    summary="An outcome on its way back to the one subscriber that could not handle it.",
    payload=OutcomeEvent,
    headers=(RepeatHeaders,),
)
STATUS: Final = Message(
    name="status",
    summary="A photo has changed: a hint, the truth is the status document.",
    payload=StatusEvent,
    headers=(Headers,),
)
DEAD_WORK: Final = Message(
    name="deadWork",
    summary="Work that was given up, with the reason.",
    payload=WorkMessage,
    headers=(DeadLetterHeaders, BrokerDeathHeaders),
)
DEAD_OUTCOME: Final = Message(
    name="deadOutcome",
    summary="An outcome that a subscriber gave up, with the reason.",
    payload=OutcomeEvent,
    headers=(DeadLetterHeaders, BrokerDeathHeaders),
)
MALFORMED: Final = Message(
    name="malformed",
    summary="Whatever was found in a queue and could not be parsed: any bytes.",
    payload=None,
    headers=(DeadLetterHeaders,),
)
SNAPSHOT_FRAME: Final = Message(
    name="snapshotFrame", summary="The first frame, unless `since` was asked for.", payload=Snapshot
)
SNAPSHOT_OF_ALL_FRAME: Final = Message(
    name="snapshotOfAllFrame",
    summary="The first frame, unless `since` was asked for.",
    payload=SnapshotOfAll,
)
STATUS_FRAME: Final = Message(
    name="statusFrame", summary="One change of a photo.", payload=StatusEvent
)

MESSAGES: Final = (
    *(WORK, TRIAL, TRIAL_ANSWER, OUTCOME, REPEATED_OUTCOME, STATUS),
    *(DEAD_WORK, DEAD_OUTCOME, MALFORMED),
    *(SNAPSHOT_FRAME, SNAPSHOT_OF_ALL_FRAME, STATUS_FRAME),
)


def components() -> Json:
    """Return the messages, and the schemas that they refer to."""
    return {"messages": {each.name: _message(each) for each in MESSAGES}, "schemas": _schemas()}


def _message(message: Message) -> Json:
    described: Json = {
        "name": message.name,
        "title": message.summary,
        "contentType": CONTENT_TYPE,
    }
    if message.payload is not None:
        described["payload"] = _reference(message.payload.__name__)
    if message.payload is not None and "photo_id" in message.payload.model_fields:
        described["correlationId"] = {
            "description": "The photo's id.",
            "location": "$message.payload#/photo_id",
        }
    if message.headers:
        described["headers"] = _headers(message)
        described["bindings"] = {"amqp": {"contentEncoding": CONTENT_ENCODING, **AMQP_BINDING}}
        # AsyncAPI has no words of its own for most properties of AMQP.
        described["x-amqp-properties"] = _reference(_PROPERTIES)
    return described


def _headers(message: Message) -> Json:
    schemas = [_reference(headers.__name__) for headers in message.headers]
    described: Json = {"type": "object", "anyOf": schemas}
    if DeadLetterHeaders in message.headers:
        # A message must fit one description and no other.
        code = DeadLetterHeaders.model_fields["code"].alias
        malformed = {
            "required": [code],
            "properties": {code: {"const": MalformedMessageError.code}},
        }
        described |= malformed if message is MALFORMED else {"not": malformed}
    return described


def _schemas() -> Json:
    models = dict.fromkeys(
        model
        for message in MESSAGES
        for model in (message.payload, *message.headers)
        if model is not None
    )
    # As a reader may expect them: a serializer says less of what it makes.
    _, definitions = models_json_schema(
        [(model, "validation") for model in models],
        ref_template=f"{_SCHEMAS}{{model}}",
        schema_generator=_Draft7,
    )
    return {**definitions["$defs"], _PROPERTIES: _properties()}


class _Draft7(GenerateJsonSchema):
    """AsyncAPI's own schemas are JSON Schema draft 7, which writes tuples another way."""

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        described = super().tuple_schema(schema)
        if (items := described.pop("prefixItems", None)) is not None:
            described["items"] = items
        return described


def _properties() -> Json:
    return {
        "type": "object",
        "title": _PROPERTIES,
        "description": "The basic properties of AMQP 0-9-1 that every message has.",
        "required": ["content_type", "content_encoding", "delivery_mode", "message_id", "app_id"],
        "properties": {
            "content_type": {"const": CONTENT_TYPE},
            "content_encoding": {"const": CONTENT_ENCODING},
            "delivery_mode": {"const": int(DELIVERY_MODE), "description": "Persistent."},
            "message_id": {**_SHORT_STRING, "description": "The same in every repetition."},
            "correlation_id": {
                **_SHORT_STRING,
                "description": "The photo's id; none if the message did not tell.",
            },
            "app_id": {"type": "string", "pattern": "^photo-pipeline/"},
        },
    }


def _reference(schema: str) -> Json:
    return {"$ref": f"{_SCHEMAS}{schema}"}
