"""``GET /queues`` in the OpenAPI document."""

from typing import Final

from photo_pipeline import errors
from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.openapi_examples import QUEUES_SEEN
from photo_pipeline.api.openapi_parts import answer, header
from photo_pipeline.api.queues import Queues

QUEUES: Final = parts.operation(
    parts.OPERATION,
    "getQueues",
    "See where photos wait",
    "Answer each stage's queue, in the order of the pipeline, and each subscriber's. `ready`, "
    "`dead` and `consumers` are RabbitMQ's numbers, `running`, `retrying` and `oldest_s` those of "
    "the status documents; `rate` is what this replica has been told in the last minute.",
    {
        "200": answer(
            "The queues.",
            {parts.JSON: parts.model(Queues, QUEUES_SEEN)},
            {"Cache-Control": header("Ask each time.", "no-store")},
        )
    },
    (errors.BrokerUnavailableError, errors.StoreUnavailableError),
)
