"""The bytes of photos in the OpenAPI document: original and renditions."""

from typing import Final

from openapi_pydantic import Header, MediaType, Response

from photo_pipeline import errors
from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.bytes import (
    GATED_CACHE,
    ORIGINAL_CACHE,
    OUTDATED_CACHE,
    PLAIN_CACHE,
    REVIEW_CACHE,
    VERSIONED_CACHE,
)
from photo_pipeline.api.openapi_examples import FILENAME, SHA256
from photo_pipeline.api.openapi_parts import TEXT, answer, header, in_header, in_path, in_query
from photo_pipeline.domain.document import VERSION

_TAG: Final = f'"{SHA256}"'
_ETAG: Final = {"ETag": header("The SHA-256 of the bytes, in hex.", _TAG)}
_IMAGE: Final = {"image/*": MediaType(media_type_schema=parts.BINARY)}


def _answers(cache: Header) -> dict[str, Response]:
    kept = {**_ETAG, "Cache-Control": cache}
    told = {
        **kept,
        "Content-Disposition": header("A name to save it by.", f'inline; filename="{FILENAME}"'),
        "Accept-Ranges": header("A part can be asked for.", "bytes"),
    }
    part = header("Which bytes of how many.", "bytes 0-1023/214310")
    return {
        "200": answer("The bytes.", _IMAGE, told),
        "206": answer("The bytes of the range.", _IMAGE, {**told, "Content-Range": part}),
        "304": answer("The bytes are the ones you have.", headers=kept),
    }


_CONDITIONS: Final = (
    in_header("Range", "One range of bytes (RFC 9110, 14); of several, all is sent.", "bytes=0-9"),
    in_header("If-Range", "The `ETag` of the bytes of which you have a part.", _TAG),
    in_header("If-None-Match", "The `ETag` of the bytes you have.", _TAG),
    in_header("If-Match", "The `ETag` of the only bytes that will do.", _TAG),
)
_ANY_BYTES: Final = (
    *(errors.UnknownPhotoError, errors.MissingBlobError, errors.PhotoDeletedError),
    *(errors.PreconditionFailedError, errors.RangeNotSatisfiableError),
    *(errors.StoreUnavailableError, errors.BlobUnavailableError),
)
_REFUSALS: Final = (
    *_ANY_BYTES,
    *(errors.WithheldError, errors.HeldError, errors.AwaitingDetectionError),
)
_DATES: Final = "There is no date: conditions on one are ignored."

ORIGINAL: Final = parts.operation(
    parts.PHOTOS,
    "getOriginal",
    "Fetch the original",
    f"Answer the upload, untouched, with its metadata. It never changes. {_DATES}",
    _answers(
        header(
            f"No shared cache: it may hold where it was taken. With a gate: `{GATED_CACHE}`.",
            ORIGINAL_CACHE,
        )
    ),
    _REFUSALS,
    parameters=(parts.ID, *_CONDITIONS),
)

RENDITION: Final = parts.operation(
    parts.PHOTOS,
    "getRendition",
    "Fetch a rendition",
    "Answer one of the pictures made from the photo. The status document lists them, with the "
    f"`url` of each; which ones there will be depends on the preset.\n\nThat `url` has a "
    f"`{VERSION}` which stands for the bytes, so a cache may keep them for good. When another run "
    "has put other bytes behind the name, the status document has another `url`, and the old one "
    f"gives the new bytes, not to be kept. {_DATES}",
    _answers(
        header(
            f"With the `{VERSION}` of these bytes. Without: `{PLAIN_CACHE}`; with another one: "
            f"`{OUTDATED_CACHE}`. Of a photo with a gate: `{GATED_CACHE}`.",
            VERSIONED_CACHE,
        )
    ),
    (*_REFUSALS, errors.UnknownRenditionError, errors.NotReadyError),
    parameters=(
        parts.ID,
        in_path("rendition", "The rendition's name.", "1280"),
        in_query(VERSION, "Which bytes are meant, as the `url` in the status document says.", TEXT),
        *_CONDITIONS,
    ),
)

REVIEWED: Final = parts.operation(
    parts.PHOTOS,
    "getReviewedPicture",
    "Look at a photo under review",
    "Answer the `original` or a rendition of a photo whose preset has a gate, also while it is "
    "held: for the people who decide. Let nobody else reach what lies below `/review`.",
    _answers(header("Kept nowhere.", REVIEW_CACHE)),
    (*_ANY_BYTES, errors.UnknownRenditionError, errors.NotModeratedError),
    parameters=(
        parts.ID,
        in_path("rendition", "`original`, or the rendition's name.", "1280"),
        *_CONDITIONS,
    ),
)
