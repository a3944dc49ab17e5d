"""The dead letters in the OpenAPI document."""

from datetime import UTC, datetime, timedelta
from typing import Final

from openapi_pydantic import DataType, Example, MediaType, RequestBody, Schema

from photo_pipeline import __version__, errors
from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.body import BODY_BYTES
from photo_pipeline.api.dead import (
    DeadLetterFile,
    DeadLetterPage,
    file_document,
    group_document,
    letter,
)
from photo_pipeline.api.dead_replay import AT_ONCE, ReplayBody, Replayed
from photo_pipeline.api.openapi_examples import FILENAME, PHOTO_ID, SHA256
from photo_pipeline.api.openapi_parts import answer, header, in_path, in_query
from photo_pipeline.api.paging import DEFAULT_PAGE, LONGEST_PAGE
from photo_pipeline.api.trial import DeadLetterTrial
from photo_pipeline.domain.casefile import (
    CaseEntry,
    CaseError,
    CaseFile,
    CaseMessage,
    CaseState,
    PhotoFacts,
    case_id,
)
from photo_pipeline.domain.messages import WorkMessage
from photo_pipeline.domain.origin import fingerprint
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import Origin, UnexpectedError
from photo_pipeline.storage.dead_letters import CaseGroup

_AT: Final = datetime(2025, 6, 1, 9, 30, tzinfo=UTC)
_ORIGIN: Final = Origin("ZeroDivisionError", ("stages.resize._transform", "imaging.scale.fit"))
_MESSAGE: Final = WorkMessage(
    photo_id=PHOTO_ID,
    run=1,
    stage="resize",
    remaining=("watermark", "detect"),
    attempt=5,
    original=f"originals/71/{PHOTO_ID}/{FILENAME}",
    preset="default",
)
_BODY: Final = _MESSAGE.encode()
_MESSAGE_ID: Final = f"{PHOTO_ID}:1:resize:dead"
_CASE: Final = CaseFile(
    id=case_id("resize", _MESSAGE_ID, _BODY),
    stage="resize",
    fingerprint=fingerprint("resize", UnexpectedError.code, _ORIGIN),
    photo_id=PHOTO_ID,
    error=CaseError(
        code=UnexpectedError.code,
        message="ZeroDivisionError: division by zero",
        type=_ORIGIN.type,
        frames=_ORIGIN.frames,
        traceback="Traceback (most recent call last):…",
    ),
    attempts=5,
    worker="worker-a-17",
    version=__version__,
    died_at=_AT,
    filed_at=_AT,
    photo=PhotoFacts(
        status=PhotoStatus.FAILED,
        filename=FILENAME,
        content_type="image/jpeg",
        bytes=4_184_092,
        width=6000,
        height=4000,
        sha256=SHA256,
    ),
    message=CaseMessage(
        id=_MESSAGE_ID,
        body=_BODY,
        bytes=len(_BODY),
        headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    ),
)
_LATER: Final = _AT + timedelta(hours=2)
_GROUP: Final = CaseGroup(
    fingerprint=_CASE.fingerprint, count=10, first_died_at=_AT, last_died_at=_AT, latest=_CASE
)
_PAGE: Final = DeadLetterPage(
    groups=[group_document(_GROUP)], items=[letter(_CASE)], next_cursor=None
).model_dump(mode="json")
_TRIAL: Final = DeadLetterTrial(
    id=_CASE.id,
    photo_id=PHOTO_ID,
    stage="resize",
    worker="worker-b-3",
    version=__version__,
    work_ms=412,
    error=None,
)
_DRY: Final = Replayed(replayed=[], refused=[], more=False, trial=_TRIAL).model_dump(mode="json")
_REPLAYED: Final = Replayed(replayed=[_CASE.id], refused=[], more=False).model_dump(mode="json")


def _file(state: CaseState) -> MediaType:
    history = () if state is CaseState.OPEN else (CaseEntry(at=_LATER, action=state),)
    case = _CASE.model_copy(update={"state": state, "history": history})
    return parts.model(DeadLetterFile, file_document(case).model_dump(mode="json"))


_ID: Final = in_path("id", "The dead letter's id, from the list.", _CASE.id)
_NO_CACHE: Final = {"Cache-Control": header("Ask each time.", "no-cache")}
_TEXT: Final = Schema(type=DataType.STRING)

LIST: Final = parts.operation(
    parts.OPERATION,
    "listDeadLetters",
    "List dead letters",
    "Answer what was given up for good, those filed last first, and before the first page the "
    "groups: all letters whose `fingerprint` is the same died of the same fault, which is the same "
    "error, raised at the same place of the code, in the same stage. Lists are read from case "
    "files, so that listing takes nothing out of RabbitMQ; role `reconcile` files them.",
    {
        "200": answer(
            "A page.",
            {parts.JSON: parts.model(DeadLetterPage, _PAGE)},
            {
                "Link": header(
                    "The next page (RFC 8288), if there is one.",
                    f'</dead?limit=1&cursor=1748770200000-{_CASE.id}>; rel="next"',
                    required=False,
                ),
                **_NO_CACHE,
            },
        )
    },
    (errors.InvalidRequestError, errors.StoreUnavailableError),
    parameters=(
        in_query("fingerprint", "Only those that died of this fault.", _TEXT),
        in_query(
            "stage",
            "Only those of this stage, or of a subscriber's `processed_images.NAME`.",
            _TEXT,
        ),
        in_query(
            "state",
            "Only those of this state.",
            Schema(type=DataType.STRING, enum=[*CaseState, "any"], default=CaseState.OPEN.value),
        ),
        in_query("cursor", "The `next_cursor` of the page before.", _TEXT),
        in_query(
            "limit",
            "At most so many letters.",
            Schema(type=DataType.INTEGER, minimum=1, maximum=LONGEST_PAGE, default=DEFAULT_PAGE),
        ),
    ),
)

GET: Final = parts.operation(
    parts.OPERATION,
    "getDeadLetter",
    "See one dead letter",
    "Answer the case file: the message with its headers, the error with its traceback, who gave it "
    "up after how many attempts, the photo as it was then, and what was done about it.",
    {"200": answer("The case file.", {parts.JSON: _file(CaseState.OPEN)}, _NO_CACHE)},
    (errors.UnknownDeadLetterError, errors.StoreUnavailableError),
    parameters=(_ID,),
)

REPLAY: Final = parts.operation(
    parts.OPERATION,
    "replayDeadLetter",
    "Replay one dead letter",
    "A photo that has failed gets another run that begins at the stage that failed, with the "
    "preset it was uploaded with; its timeline goes on. A photo that still waits for the message "
    "gets it as a first attempt, and an event goes to the one subscriber that gave it up. The case "
    "is closed, and the message taken out of RabbitMQ's dead letters.",
    {"202": answer("Replayed.", {parts.JSON: _file(CaseState.REPLAYED)})},
    (
        *(errors.UnknownDeadLetterError, errors.DeadLetterClosedError),
        *(errors.DeadLetterObsoleteError, errors.NotReplayableError),
        *(errors.StoreUnavailableError, errors.BrokerUnavailableError),
    ),
    parameters=(_ID,),
)

DISCARD: Final = parts.operation(
    parts.OPERATION,
    "discardDeadLetter",
    "Discard one dead letter",
    "Close the case and take the message out of RabbitMQ's dead letters; the photo stays as it is. "
    "A case that is closed already stays as it is, and its message is looked for again.",
    {"200": answer("Discarded.", {parts.JSON: _file(CaseState.DISCARDED)})},
    (errors.UnknownDeadLetterError, errors.StoreUnavailableError),
    parameters=(_ID,),
)

# The first one fills the form of the documentation page: it must not replay everything.
_REPLAY_BODY: Final = RequestBody(
    required=False,
    description=f"May be left out; at most {BODY_BYTES} bytes.",
    content={
        parts.JSON: MediaType(
            media_type_schema=parts.reference(ReplayBody),
            examples={
                "dry run": Example(
                    summary="dry run", value={"fingerprint": _CASE.fingerprint, "dry_run": True}
                ),
                "a group": Example(summary="a group", value={"fingerprint": _CASE.fingerprint}),
                "all": Example(summary="all", value={}),
            },
        )
    },
)

REPLAY_GROUP: Final = parts.operation(
    parts.OPERATION,
    "replayDeadLetters",
    "Replay a group of dead letters",
    "Replay the open dead letters of `fingerprint`, or all, the oldest first and at most "
    f"{AT_ONCE}; while `more` is true there are others. What cannot be replayed stays open and is "
    "told in `refused`.\n\nWith `dry_run` nothing is replayed: a worker of the stage runs it on "
    "the photo of one of them, keeps nothing and changes nothing, and `trial` tells how it went. "
    "It waits in the stage's queue like any other work.",
    {
        "200": answer("Tried.", {parts.JSON: parts.model(Replayed, _DRY)}),
        "202": answer("Replayed.", {parts.JSON: parts.model(Replayed, _REPLAYED)}),
    },
    (
        *(errors.InvalidRequestError, errors.BodyTooLargeError),
        *(errors.UnknownDeadLetterError, errors.DeadLetterObsoleteError),
        errors.NotReplayableError,
        *(errors.TrialUnansweredError, errors.StoreUnavailableError),
        errors.BrokerUnavailableError,
    ),
    body=_REPLAY_BODY,
)
