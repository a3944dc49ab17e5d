"""``GET /dead``: the dead letters, grouped and one by one. Reads case files, never RabbitMQ."""

import base64
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from aiohttp import hdrs, web
from pydantic import BaseModel, Field
from pydantic_core import to_json

from photo_pipeline.api import keys
from photo_pipeline.api.paging import page_headers, page_limit
from photo_pipeline.api.problems import json_response
from photo_pipeline.domain.casefile import (
    CaseEntry,
    CaseError,
    CaseFile,
    CaseMessage,
    CaseState,
    PhotoFacts,
)
from photo_pipeline.domain.photo import Photo
from photo_pipeline.errors import InvalidRequestError, UnknownPhotoError
from photo_pipeline.storage.dead_letters import CaseCursor, CaseGroup, CaseSelection

_NAME: Final = re.compile(r"[\w.-]{1,100}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR: Final = re.compile(r"([0-9]{1,15})-([0-9a-f]{32})")


class DeadLetterError(BaseModel):
    """Why it died, without the traceback; ``type`` is that of the error as it was raised."""

    code: str
    message: str
    type: str | None


class DeadLetter(BaseModel):
    """A dead letter in a list."""

    id: str
    state: CaseState
    stage: str = Field(description="The stage, or `processed_images.NAME` of a subscriber.")
    fingerprint: str
    photo_id: str | None
    filename: str | None
    error: DeadLetterError
    attempts: int | None
    worker: str | None
    version: str | None
    died_at: datetime
    filed_at: datetime


class DeadLetterGroup(BaseModel):
    """All dead letters that failed in the same way; ``example`` is the one filed last."""

    fingerprint: str
    count: int
    stage: str
    error: DeadLetterError
    first_died_at: datetime
    last_died_at: datetime
    example: str


class DeadLetterPage(BaseModel):
    """The groups (with the first page only) and the letters, those filed last first."""

    groups: list[DeadLetterGroup]
    items: list[DeadLetter]
    next_cursor: str | None


class DeadMessage(BaseModel):
    """The message; ``body`` is the JSON value, the text, or base64, as ``encoding`` says."""

    id: str | None
    bytes: int
    encoding: Literal["json", "text", "base64"]
    body: Any
    headers: Mapping[str, Any] = Field(description="But for those that are told apart here.")


class DeadLetterFile(BaseModel):
    """Everything known of one dead letter; ``photo`` is as it was at ``filed_at``."""

    id: str
    state: CaseState
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
    message: DeadMessage
    history: list[CaseEntry]


async def get_dead(request: web.Request) -> web.Response:
    """Answer a page of dead letters, and the groups that they fall into."""
    limit = page_limit(request)
    selection = _selection(request)
    store = request.app[keys.DEAD_LETTERS]
    groups = await store.groups(selection) if selection.before is None else []
    found = await store.page(selection, limit + 1)  # one more: is there more?
    shown = found[:limit]
    cursor = _cursor_after(shown[-1]) if len(found) > limit else None
    page = DeadLetterPage(
        groups=[group_document(group) for group in groups],
        items=[letter(case) for case in shown],
        next_cursor=cursor,
    )
    return json_response(page, headers=page_headers(request, "/dead", cursor))


async def get_dead_letter(request: web.Request) -> web.Response:
    """Answer one case file."""
    case = await request.app[keys.DEAD_LETTERS].get(request.match_info["id"])
    return json_response(file_document(case), headers={hdrs.CACHE_CONTROL: "no-cache"})


def letter(case: CaseFile) -> DeadLetter:
    """Return what a list tells of *case*."""
    return DeadLetter(
        **case.model_dump(include=set(DeadLetter.model_fields) - {"filename", "error"}),
        filename=case.photo.filename if case.photo else None,
        error=_error(case),
    )


def group_document(group: CaseGroup) -> DeadLetterGroup:
    """Return what is told of *group*."""
    return DeadLetterGroup(
        fingerprint=group.fingerprint,
        count=group.count,
        stage=group.latest.stage,
        error=_error(group.latest),
        first_died_at=group.first_died_at,
        last_died_at=group.last_died_at,
        example=group.latest.id,
    )


def file_document(case: CaseFile) -> DeadLetterFile:
    """Return everything that is told of *case*."""
    return DeadLetterFile.model_validate(
        {**dict(case), "message": _message(case.message), "history": list(case.history)}
    )


async def photo_of(app: web.Application, case: CaseFile) -> Photo | None:
    """Return the photo that *case* is about, if there is one."""
    if case.photo_id is None:
        return None
    try:
        return await app[keys.PHOTOS].get(case.photo_id)
    except UnknownPhotoError:
        return None


def _error(case: CaseFile) -> DeadLetterError:
    return DeadLetterError.model_validate(case.error.model_dump())


def _message(message: CaseMessage) -> DeadMessage:
    encoding: Literal["json", "text", "base64"]
    body: Any
    try:
        encoding, body = "text", message.body.decode()
    except UnicodeDecodeError:
        encoding, body = "base64", base64.b64encode(message.body).decode()
    else:
        # Not every JSON that Python reads can be told as JSON again.
        with suppress(ValueError, RecursionError):
            value = json.loads(body)
            to_json(value)
            encoding, body = "json", value
    return DeadMessage(
        id=message.id,
        bytes=message.bytes,
        encoding=encoding,
        body=body,
        headers=message.headers,
    )


def _selection(request: web.Request) -> CaseSelection:
    return CaseSelection(
        state=_state(request),
        stage=_name(request, "stage"),
        fingerprint=_name(request, "fingerprint"),
        before=_cursor(request),
    )


def _state(request: web.Request) -> CaseState | None:
    value = request.query.get("state", CaseState.OPEN)
    if value == "any":
        return None
    try:
        return CaseState(value)
    except ValueError:
        known = ", ".join((*CaseState, "any"))
        raise InvalidRequestError(f"state must be one of: {known}") from None


def _name(request: web.Request, field: str) -> str | None:
    value = request.query.get(field)
    if value is not None and not _NAME.fullmatch(value):
        raise InvalidRequestError(f"{field} must be a name of at most 100 characters")
    return value


def _cursor_after(case: CaseFile) -> str:
    return f"{(case.filed_at - _EPOCH) // timedelta(milliseconds=1)}-{case.id}"


def _cursor(request: web.Request) -> CaseCursor | None:
    value = request.query.get("cursor")
    if value is None:
        return None
    found = _CURSOR.fullmatch(value)
    try:
        if found is not None:
            return CaseCursor(_EPOCH + timedelta(milliseconds=int(found[1])), found[2])
    except OverflowError:
        pass
    raise InvalidRequestError("cursor must be the next_cursor of an earlier page")
