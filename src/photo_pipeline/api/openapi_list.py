"""``GET /photos`` in the OpenAPI document."""

from typing import Final

from openapi_pydantic import DataType, Schema

from photo_pipeline import errors
from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.openapi_examples import PAGE, PHOTO_ID
from photo_pipeline.api.openapi_parts import answer, header, in_query
from photo_pipeline.api.paging import DEFAULT_PAGE, LONGEST_PAGE
from photo_pipeline.api.photos import PhotoPage
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
