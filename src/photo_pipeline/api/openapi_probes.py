"""The probes in the OpenAPI document."""

from typing import Final

from openapi_pydantic import DataType, MediaType, Schema

from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.openapi_parts import answer, in_query

HEALTHZ: Final = parts.operation(
    parts.PROBES,
    "getLiveness",
    "Liveness",
    "Answer as long as the process is alive.",
    {
        "200": answer(
            "Alive.",
            {
                parts.JSON: MediaType(
                    media_type_schema=Schema(
                        type=DataType.OBJECT,
                        required=["status"],
                        properties={"status": Schema(type=DataType.STRING, enum=["ok"])},
                    ),
                    example={"status": "ok"},
                )
            },
        )
    },
)


def _readiness(status: str, broker: str) -> dict[str, MediaType]:
    schema = Schema(
        type=DataType.OBJECT,
        required=["status", "checks"],
        properties={
            "status": Schema(type=DataType.STRING, enum=["ready", "not ready"]),
            "checks": Schema(type=DataType.OBJECT, additionalProperties=parts.TEXT),
        },
    )
    example = {"status": status, "checks": {"mongodb": "ok", "rabbitmq": broker}}
    return {parts.JSON: MediaType(media_type_schema=schema, example=example)}


READYZ: Final = parts.operation(
    parts.PROBES,
    "getReadiness",
    "Readiness",
    "Answer whether everything that this process has opened is well.",
    {
        "200": answer("Ready.", _readiness("ready", "ok")),
        "503": answer("Not ready; the reasons.", _readiness("not ready", "connection lost")),
    },
)

METRICS: Final = parts.operation(
    parts.PROBES,
    "getMetrics",
    "Metrics",
    "Answer the metrics in the Prometheus text format, or as OpenMetrics if `Accept` asks for it.",
    {
        "200": answer(
            "The metrics.",
            {
                kind: MediaType(media_type_schema=parts.TEXT)
                for kind in ("text/plain", "application/openmetrics-text")
            },
        )
    },
    parameters=(
        in_query(
            "name[]",
            "Only the metrics of these names.",
            Schema(type=DataType.ARRAY, items=parts.TEXT),
        ),
    ),
)
