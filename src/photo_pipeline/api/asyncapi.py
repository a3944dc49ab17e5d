"""``/asyncapi.json``: the contract of everything that travels as a message (AsyncAPI 3.0)."""

import json
from typing import Final

from photo_pipeline import __version__
from photo_pipeline.api.asyncapi_channels import API, BROKER, broker_channels, stream_channels
from photo_pipeline.api.asyncapi_messages import Json, components
from photo_pipeline.api.asyncapi_operations import operations
from photo_pipeline.broker.publisher import CONTENT_TYPE
from photo_pipeline.broker.topology import Names, Topology

_DESCRIPTION: Final = """\
What the roles of the pipeline tell each other over RabbitMQ, and what the API tells over \
WebSockets.

- To hear of every photo's outcome, bind a queue of your own to the fanout exchange of \
`exchange.processed_images`; an event may come more than once, with the same `event_id`.
- Messages refer to pictures and never contain one. They are persistent, and a receiver ignores \
fields that it does not know.
- RabbitMQ adds headers of its own, such as `x-death`, to what it has delayed or dead-lettered.
"""


def asyncapi_document(names: Names, topology: Topology) -> str:
    """Return the document for *topology* as JSON text."""
    streams = stream_channels()
    channels = [*broker_channels(names, topology), *streams]
    document: Json = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Photo Pipeline",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": _servers(),
        "channels": {each.id: each.described for each in channels},
        "operations": operations(names, topology, streams),
        "components": components(),
    }
    return json.dumps(document)


def _servers() -> Json:
    """Return the servers. Where the broker is, and with which password, is nobody's business."""
    return {
        BROKER: {
            "host": "{broker}",
            "protocol": "amqp",
            "protocolVersion": "0.9.1",
            "title": "RabbitMQ",
            "variables": {"broker": {"description": "Known to the operator."}},
        },
        API: {
            "host": "{api}",
            "protocol": "ws",
            "title": "The API",
            "variables": {"api": {"description": "The host that this document comes from."}},
        },
    }
