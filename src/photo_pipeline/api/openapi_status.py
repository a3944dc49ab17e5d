"""``GET /status/{id}`` in the OpenAPI document."""

from typing import Final

from openapi_pydantic import DataType, Schema

from photo_pipeline import errors
from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.openapi_examples import DOCUMENT, REVISION
from photo_pipeline.api.openapi_parts import answer, header, in_header, in_query
from photo_pipeline.api.photos import LONGEST_WAIT_S
from photo_pipeline.domain.document import StatusDocument

_FAILURES: Final = ", ".join(
    f"`{each.code}`"
    for each in (
        errors.UnreadableImageError,
        errors.StageTimeoutError,
        errors.MemoryLimitError,
        errors.DecoderCrashedError,
    )
)

_STATUS_ETAG: Final = {"ETag": header("The photo's revision.", f'"{REVISION}"')}

STATUS: Final = parts.operation(
    parts.PHOTOS,
    "getStatus",
    "Read the status document",
    "Answer everything about a photo: where it stands, each stage, its renditions and its "
    "history. Every change raises `revision` by one.\n\nWith `wait` the answer comes as soon as "
    "the photo is `done`, `failed` or `deleted`, and with the status of the moment when the "
    "time is up. With `If-None-Match` an unchanged document is not sent again.\n\nA photo that "
    f"`failed` says why in `error`, with a stable code such as {_FAILURES}.",
    {
        "200": answer(
            "The status document.",
            {parts.JSON: parts.model(StatusDocument, DOCUMENT)},
            {**_STATUS_ETAG, "Cache-Control": header("Keep it, but ask each time.", "no-cache")},
        ),
        "304": answer("The document still has the revision named.", headers=_STATUS_ETAG),
    },
    (errors.InvalidRequestError, errors.UnknownPhotoError, errors.StoreUnavailableError),
    parameters=(
        parts.ID,
        in_query(
            "wait",
            "Wait for the outcome, at most so many seconds.",
            Schema(type=DataType.NUMBER, minimum=0, maximum=LONGEST_WAIT_S, default=0),
        ),
        in_header("If-None-Match", "The `ETag` of the document you have.", f'"{REVISION}"'),
    ),
)
