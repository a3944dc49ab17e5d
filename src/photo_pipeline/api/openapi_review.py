"""The review list in the OpenAPI document."""

from typing import Final

from openapi_pydantic import DataType, Example, MediaType, RequestBody, Schema

from photo_pipeline import errors
from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.body import BODY_BYTES
from photo_pipeline.api.openapi_examples import DOCUMENT, PHOTO_ID, WAITING_FOR_REVIEW
from photo_pipeline.api.openapi_parts import answer, header, in_query
from photo_pipeline.api.paging import DEFAULT_PAGE, LONGEST_PAGE
from photo_pipeline.api.review import ReviewBody, ReviewPage
from photo_pipeline.domain.document import StatusDocument

LIST: Final = parts.operation(
    parts.PHOTOS,
    "listReview",
    "List photos under review",
    "Answer a page of the photos that wait for a person, the oldest first: their preset has a "
    "`gate`, and detection doubts them (`review`), refuses them (`blocked`), or could not look. "
    "While `next_cursor` is not null there are more: give it as `cursor`.",
    {
        "200": answer(
            "A page.",
            {parts.JSON: parts.model(ReviewPage, WAITING_FOR_REVIEW)},
            {
                "Link": header(
                    "The next page (RFC 8288), if there is one.",
                    f'</review?limit=1&cursor={PHOTO_ID}>; rel="next"',
                    required=False,
                ),
                "Cache-Control": header("Ask each time.", "no-cache"),
            },
        )
    },
    (errors.InvalidRequestError, errors.StoreUnavailableError),
    parameters=(
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

_BODY: Final = RequestBody(
    required=True,
    description=f"At most {BODY_BYTES} bytes.",
    content={
        parts.JSON: MediaType(
            media_type_schema=parts.reference(ReviewBody),
            examples={
                "approve": Example(
                    summary="approve",
                    value={"verdict": "approve", "by": "ada", "reason": "a statue"},
                ),
                "reject": Example(summary="reject", value={"verdict": "reject", "by": "ada"}),
            },
        )
    },
)

DECIDE: Final = parts.operation(
    parts.PHOTOS,
    "reviewPhoto",
    "Approve or reject a photo",
    "Decide about a photo whose preset has a `gate`, once detection has looked at it. Approved, it "
    "is served from the answer on; rejected, nothing but its status is. The decision stands when "
    "the photo is processed again, and may be changed at any time.\n\nWho decided and why is in "
    "the timeline. A decision that changes the verdict is told once to whoever listens to "
    "outcomes, as `photo.approved` or `photo.rejected`; the same decision again changes and tells "
    "nothing.",
    {
        "200": answer(
            "The status document, with the verdict that stands now.",
            {parts.JSON: parts.model(StatusDocument, DOCUMENT)},
            {"Cache-Control": header("Ask each time.", "no-cache")},
        )
    },
    (
        *(errors.InvalidRequestError, errors.BodyTooLargeError),
        *(errors.UnknownPhotoError, errors.PhotoDeletedError, errors.NotModeratedError),
        errors.StoreUnavailableError,
    ),
    parameters=(parts.ID,),
    body=_BODY,
)
