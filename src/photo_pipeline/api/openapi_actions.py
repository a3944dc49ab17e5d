"""What can be done about a photo that is there, in the OpenAPI document."""

from typing import Final

from openapi_pydantic import Example, MediaType, RequestBody

from photo_pipeline import errors
from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.body import BODY_BYTES
from photo_pipeline.api.openapi_examples import ACCEPTED, DELETED, PHOTO_ID
from photo_pipeline.api.openapi_parts import answer, header
from photo_pipeline.api.removal import Deleted
from photo_pipeline.api.reprocess import ReprocessBody
from photo_pipeline.api.uploads import Accepted

DELETE: Final = parts.operation(
    parts.PHOTOS,
    "deletePhoto",
    "Delete a photo",
    "Delete a photo, whatever its status. From the answer on nothing of it is served but its "
    "status document, which stays as a tombstone; its bytes go right after. A stage that is at "
    "work on it changes nothing any more. No outcome is told. Deleting it again is no error.",
    {"202": answer("Deleted.", {parts.JSON: parts.model(Deleted, DELETED)})},
    (errors.UnknownPhotoError, errors.StoreUnavailableError),
    parameters=(parts.ID,),
)

# The first one fills the form of the documentation page, and is sent.
_BODY: Final = RequestBody(
    required=False,
    description=f"May be left out; at most {BODY_BYTES} bytes.",
    content={
        parts.JSON: MediaType(
            media_type_schema=parts.reference(ReprocessBody),
            examples={
                "as before": Example(summary="as before", value={}),
                "another preset": Example(summary="another preset", value={"preset": "small"}),
                "from a stage": Example(summary="from a stage", value={"from_stage": "watermark"}),
            },
        )
    },
)

REPROCESS: Final = parts.operation(
    parts.PHOTOS,
    "reprocessPhoto",
    "Process a photo again",
    "Begin another run of a photo that is `done` or `failed`. `preset` names the parameters, as "
    "they are now (without: those of the photo's preset); `from_stage` the stage to begin with "
    "(without: the first). The stages before it must be done, and the same in the preset.\n\n"
    "A stage whose input, version and parameters have not changed makes nothing again. Until a "
    "stage has replaced its renditions, the ones of the run before are served. At the end the "
    "outcome is told as after an upload.",
    {
        "202": answer(
            "Accepted.",
            {parts.JSON: parts.model(Accepted, ACCEPTED)},
            {"Location": header("The status document.", f"/status/{PHOTO_ID}")},
        )
    },
    (
        *(errors.InvalidRequestError, errors.BodyTooLargeError),
        *(errors.UnknownPhotoError, errors.PhotoDeletedError),
        *(errors.NotFinishedError, errors.StageNotReusableError),
        *(errors.UnknownPresetError, errors.UnknownStageError),
        *(errors.StoreUnavailableError, errors.DetectionUnavailableError),
    ),
    parameters=(parts.ID,),
    body=_BODY,
)
