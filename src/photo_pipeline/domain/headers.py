"""The headers of what travels through RabbitMQ, beside the properties of AMQP itself."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from photo_pipeline.domain.trace import TRACEPARENT

ATTEMPT: Final = "x-attempt"

# Only told in the schema: pydantic's own patterns know no lookahead.
_Trace = Annotated[
    str,
    Field(
        description="The trace that the message belongs to (W3C Trace Context).",
        json_schema_extra={"pattern": f"^{TRACEPARENT.pattern}$"},
    ),
]


class Headers(BaseModel):
    """What every message has."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    traceparent: _Trace

    def encode(self) -> dict[str, Any]:
        """Return the headers as they travel, without those that do not apply."""
        return self.model_dump(by_alias=True, exclude_none=True)


class RepeatHeaders(Headers):
    """An event on its way back to the one subscriber that could not handle it."""

    attempt: int = Field(alias=ATTEMPT, ge=1, description="The attempt to come, from 1.")


class DeadLetterHeaders(Headers):
    """Why a message was given up, and by whom."""

    code: str = Field(alias="x-error-code", description="The stable code of the error.")
    message: str = Field(alias="x-error-message", description="The error in one sentence.")
    type: str = Field(alias="x-error-type", description="The type of the error, as it was raised.")
    frames: str = Field(
        alias="x-error-frames",
        description="The pipeline's own functions on the way to it, one a line, outermost first.",
    )
    traceback: str | None = Field(
        None, alias="x-error-traceback", description="The end of the traceback."
    )
    worker: str = Field(alias="x-worker", description="The process that gave up.")
    version: str = Field(alias="x-version", description="The version of the pipeline.")
    died_at: str = Field(alias="x-died-at", description="When it gave up (RFC 3339).")
    attempt: int | None = Field(None, alias=ATTEMPT, ge=1, description="The last attempt.")


class BrokerDeathHeaders(Headers):
    """A message that RabbitMQ itself gave up: delivered too often without being settled."""

    queue: str = Field(alias="x-first-death-queue", description="Where it was given up first.")
    reason: str = Field(
        alias="x-first-death-reason",
        description="`delivery_limit`; `expired` if it had come by way of a retry.",
    )
