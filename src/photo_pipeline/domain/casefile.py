"""A dead letter as a case file: what died of what, where, and what was done about it."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from photo_pipeline.domain.headers import ATTEMPT, DeadLetterHeaders
from photo_pipeline.domain.origin import bounded, fingerprint
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import Origin

BODY_BYTES: Final = 1024 * 1024
"""Longest body that a case file holds: a status document with a long history has a tenth of it,
and a document of MongoDB may have 16 MiB. A longer one is cut, and cannot be replayed."""

_TEXT: Final = 4000  # characters of a header that is kept
_NAME: Final = 255  # characters of a name or an id
_DEPTH: Final = 5  # of a header's value; x-death has three levels
_ID_CHARACTERS: Final = 32  # 128 bits of a hash

_NO_REASON: Final = "no_reason"
_EXPIRED: Final = "expired"  # what every retry leaves in x-death
_TOLD_APART: Final = frozenset(
    str(DeadLetterHeaders.model_fields[name].alias)
    for name in ("code", "message", "type", "frames", "traceback", "worker", "version", "died_at")
)


class CaseState(StrEnum):
    """Where a case file stands."""

    OPEN = "open"  #: nobody has done anything about it
    REPLAYED = "replayed"
    DISCARDED = "discarded"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class CaseMessage(_Part):
    """The message as it was found; ``bytes`` is its whole length, ``body`` may be cut."""

    id: str | None
    body: bytes
    bytes: int
    headers: Mapping[str, Any]


class CaseError(_Part):
    """Why it died; ``frames`` are the pipeline's own functions, outermost first."""

    code: str
    message: str
    type: str | None = None
    frames: tuple[str, ...] = ()
    traceback: str | None = None


class PhotoFacts(_Part):
    """The photo that the message is about, as it was when the case was filed."""

    status: PhotoStatus
    filename: str
    content_type: str
    bytes: int
    width: int
    height: int
    sha256: str


class CaseEntry(_Part):
    """What somebody did about a case; ``run`` is the photo's run that a replay began."""

    at: datetime
    action: CaseState
    run: int | None = None


class CaseFile(_Part):
    """A dead letter; ``stage`` is the key of its queue: a stage, or ``processed_images.NAME``."""

    id: str = Field(alias="_id")
    state: CaseState = CaseState.OPEN
    stage: str
    fingerprint: str
    photo_id: str | None
    error: CaseError
    attempts: int | None
    worker: str | None
    version: str | None
    died_at: datetime
    filed_at: datetime
    photo: PhotoFacts | None
    message: CaseMessage
    history: tuple[CaseEntry, ...] = ()


def case_id(stage: str, message_id: str | None, body: bytes) -> str:
    """Return the id of a dead letter's case: the same however often the broker delivers it."""
    digest = hashlib.sha256(json.dumps([stage, message_id]).encode())
    digest.update(body)
    return digest.hexdigest()[:_ID_CHARACTERS]


def photo_id_of(body: bytes, correlation_id: str | None) -> str | None:
    """Return which photo a message is about, as far as it tells."""
    try:
        told = json.loads(body).get("photo_id")
    except (ValueError, AttributeError, RecursionError):
        told = None
    found = told if isinstance(told, str) else correlation_id
    # JSON may spell halves of characters, which no other text can have.
    return found[:_NAME].encode("utf-8", "replace").decode() if found else None


def open_case(
    *,
    stage: str,
    body: bytes,
    headers: Mapping[str, Any],
    message_id: str | None,
    photo_id: str | None,
    photo: Photo | None,
    at: datetime,
) -> CaseFile:
    """Return the case of a message found among the dead letters of *stage*, whatever it is."""
    error = _error(stage, headers)
    origin = Origin(error.type or "", error.frames)
    return CaseFile(
        id=case_id(stage, message_id, body),
        stage=stage,
        fingerprint=fingerprint(stage, error.code, origin),
        photo_id=photo_id,
        error=error,
        attempts=_attempts(headers, body),
        worker=_text(headers, "worker"),
        version=_text(headers, "version"),
        died_at=_died_at(headers) or at,
        filed_at=at,
        photo=None if photo is None else PhotoFacts.model_validate(dict(photo)),
        message=CaseMessage(
            id=message_id,
            body=body[:BODY_BYTES],
            bytes=len(body),
            headers={
                name[:_NAME]: _plain(value)
                for name, value in headers.items()
                if name not in _TOLD_APART
            },
        ),
    )


def _error(stage: str, headers: Mapping[str, Any]) -> CaseError:
    code = _text(headers, "code")
    if code is None:
        return _broker_error(stage, headers)
    frames = (_text(headers, "frames") or "").split("\n")
    origin = bounded(Origin(_text(headers, "type") or "", tuple(filter(None, frames))))
    return CaseError(
        code=code,
        message=_text(headers, "message") or code,
        type=origin.type or None,
        frames=origin.frames,
        traceback=_text(headers, "traceback"),
    )


def _broker_error(stage: str, headers: Mapping[str, Any]) -> CaseError:
    """Return why RabbitMQ itself gave the message up."""
    for death in _deaths(headers):
        if (reason := str(death.get("reason", ""))) not in ("", _EXPIRED):
            queue = str(death.get("queue", stage))[:_NAME]
            return CaseError(code=reason[:_NAME], message=f"RabbitMQ gave it up in {queue}")
    return CaseError(code=_NO_REASON, message="whoever gave it up told no reason")


def _deaths(headers: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    deaths = headers.get("x-death")
    found = deaths if isinstance(deaths, list) else []
    return [death for death in found if isinstance(death, Mapping)]  # the latest first


def _died_at(headers: Mapping[str, Any]) -> datetime | None:
    try:
        told = datetime.fromisoformat(_text(headers, "died_at") or "")
    except ValueError:
        times = (death.get("time") for death in _deaths(headers))
        found = next((time for time in times if isinstance(time, datetime)), None)
        if found is None:
            return None
        told = found
    return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)


def _attempts(headers: Mapping[str, Any], body: bytes) -> int | None:
    attempt = headers.get(ATTEMPT)
    if attempt is None:
        try:
            attempt = json.loads(body).get("attempt")
        except (ValueError, AttributeError, RecursionError):
            return None
    return attempt if type(attempt) is int and 0 < attempt < 2**31 else None


def _text(headers: Mapping[str, Any], field: str) -> str | None:
    value = headers.get(str(DeadLetterHeaders.model_fields[field].alias))
    return value[:_TEXT] if isinstance(value, str) and value else None


def _plain(value: object, depth: int = 0) -> Any:
    """Return a header's value as JSON has it."""
    match value:
        case None | bool() | int() | float():
            return value
        case datetime():
            return value.isoformat()
        case bytes():
            return value[:_TEXT].decode("utf-8", "replace")
        case Mapping() if depth < _DEPTH:
            return {str(k)[:_NAME]: _plain(v, depth + 1) for k, v in value.items()}
        case list() if depth < _DEPTH:
            return [_plain(each, depth + 1) for each in value]
        case _:
            return str(value)[:_TEXT]
