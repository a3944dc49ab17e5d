"""``GET /photos`` in the OpenAPI document."""

from typing import Final

from openapi_pydantic import DataType, Schema

from photo_pipeline import errors
from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.duplicates import MOST, Duplicates
from photo_pipeline.api.openapi_examples import DUPLICATES_FOUND, PAGE, PHOTO_ID
from photo_pipeline.api.openapi_parts import answer, header, in_query
from photo_pipeline.api.paging import DEFAULT_PAGE, LONGEST_PAGE
from photo_pipeline.api.photos import LONGEST_TAG, PhotoPage
from photo_pipeline.domain.colours import COLOUR_NAMES
from photo_pipeline.domain.likeness import HASH_BITS, NEAR
from photo_pipeline.domain.status import PhotoStatus

LIST: Final = parts.operation(
    parts.PHOTOS,
    "listPhotos",
    "List photos",
    "Answer a page of photos, the newest first. While `next_cursor` is not null there are more: "
    "give it as `cursor`. Photos that arrive meanwhile move nothing: no photo comes twice, and "
    "none is left out.\n\nA deleted photo is in no list but the one of `status=deleted`.",
    {
        "200": answer(
            "A page.",
            {parts.JSON: parts.model(PhotoPage, PAGE)},
            {
                "Link": header(
                    "The next page (RFC 8288), if there is one.",
                    f'</photos?limit=1&cursor={PHOTO_ID}>; rel="next"',
                    required=False,
                ),
                "Cache-Control": header("Ask each time.", "no-cache"),
            },
        )
    },
    (errors.InvalidRequestError, errors.StoreUnavailableError),
    parameters=(
        in_query(
            "status",
            "Only photos of this status.",
            Schema(type=DataType.STRING, enum=[*PhotoStatus]),
        ),
        in_query(
            "stage",
            "Only photos that wait for this stage, are in it, or failed in it.",
            Schema(type=DataType.STRING, examples=["resize"]),
        ),
        in_query(
            "label",
            "Only photos in which detection has found this: a label, one of its synonyms, a group "
            "or an object; upper and lower case are the same.",
            Schema(type=DataType.STRING, maxLength=LONGEST_TAG, examples=["cat"]),
        ),
        in_query(
            "faces",
            "Only photos in which detection has found exactly so many faces.",
            Schema(type=DataType.INTEGER, minimum=0, maximum=9999),
        ),
        in_query(
            "color",
            "Only photos with this among their dominant colours.",
            Schema(type=DataType.STRING, enum=[*COLOUR_NAMES]),
        ),
        in_query(
            "cursor",
            "The `next_cursor` of the page before.",
            Schema(type=DataType.STRING, schema_format="uuid"),
        ),
        in_query(
            "limit",
            "At most so many photos.",
            Schema(type=DataType.INTEGER, minimum=1, maximum=LONGEST_PAGE, default=DEFAULT_PAGE),
        ),
    ),
)

DUPLICATES: Final = parts.operation(
    parts.PHOTOS,
    "listDuplicates",
    "List duplicates of a photo",
    "Answer which other photos are the same upload, byte for byte (`exact`), and which look alike "
    f"(`near`): their perceptual hashes differ in at most {NEAR} of {HASH_BITS} bits, as after a "
    "change of size, format or quality. It is the state of this moment: deleted photos are in no "
    f"list. Each has at most {MOST}.\n\n`near` is null until detection has looked, and empty for "
    "pictures that show next to nothing: all blank ones look alike.",
    {
        "200": answer(
            "The other photos.",
            {parts.JSON: parts.model(Duplicates, DUPLICATES_FOUND)},
            {"Cache-Control": header("Ask each time.", "no-cache")},
        )
    },
    (errors.UnknownPhotoError, errors.PhotoDeletedError, errors.StoreUnavailableError),
    parameters=(parts.ID,),
)
