"""``POST /upload/`` in the OpenAPI document."""

from datetime import timedelta
from typing import Final

from openapi_pydantic import DataType, Encoding, MediaType, RequestBody, Schema

from photo_pipeline import errors
from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.form import DEEPEST_METADATA, FIELD_BYTES
from photo_pipeline.api.idempotency import KEY, LONGEST_KEY, REPLAYED
from photo_pipeline.api.openapi_examples import ACCEPTED, PHOTO_ID
from photo_pipeline.api.openapi_parts import answer, header, in_header
from photo_pipeline.api.uploads import Accepted
from photo_pipeline.domain.formats import FORMATS
from photo_pipeline.domain.preset import DEFAULT_PRESET
from photo_pipeline.storage.idempotency import REMEMBERED

HOUR: Final = timedelta(hours=1)

# Defaults and no examples: the documentation page fills its form with them, and sends it.
_BODY: Final = RequestBody(
    required=True,
    content={
        "multipart/form-data": MediaType(
            media_type_schema=Schema(
                type=DataType.OBJECT,
                required=["file"],
                additionalProperties=False,
                properties={
                    "file": Schema(
                        type=DataType.STRING, schema_format="binary", description="The photo."
                    ),
                    "preset": Schema(
                        type=DataType.STRING,
                        description="The name of one of this service's presets.",
                        default=DEFAULT_PRESET,
                    ),
                    "focal_point": Schema(
                        type=DataType.STRING,
                        pattern=r"^((0(\.\d+)?|1(\.0+)?),(0(\.\d+)?|1(\.0+)?))?$",
                        description="What matters most in the picture: `x,y` as fractions of "
                        "width and height, from the upper left corner; such as `0.5,0.4`.",
                        default="",
                    ),
                    "metadata": Schema(
                        type=DataType.OBJECT,
                        additionalProperties=True,
                        description="Whatever belongs to the photo, given back in its status "
                        f'document; such as `{{"album": "Iceland"}}`, at most {FIELD_BYTES} '
                        f"bytes and {DEEPEST_METADATA} levels, integers of 64 bits, "
                        "no name that begins with `$`.",
                        default={},
                    ),
                },
            ),
            encoding={
                "file": Encoding(
                    contentType=", ".join(each.content_type for each in FORMATS.values())
                ),
                "metadata": Encoding(contentType=parts.JSON),
            },
        )
    },
)

UPLOAD: Final = parts.operation(
    parts.PHOTOS,
    "uploadPhoto",
    "Upload a photo",
    "Accept one photo. `202` means that its bytes and its status document are durable and that "
    "it will be processed, whatever happens to the message broker. A refused upload leaves "
    "nothing behind.\n\nWhoever gets no answer, or `503`, sends the same again with the same "
    f"`{KEY}`: it is the same photo, processed once. A repeat is the same when its bytes, "
    "filename, preset, focal point and metadata are, and is answered as the first was, with "
    f"`{REPLAYED}: true`, also when the photo has got on or was deleted meanwhile: its `links` "
    "tell. An upload that was refused does not use up its key.\n\n"
    "The parts may come in any order; an unknown part is refused. What the "
    "file is, its bytes say: its name and declared type play no part. Accepted are "
    + ", ".join(name.upper() for name in FORMATS)
    + ". The limits on bytes and pixels are set by the operator.",
    {
        "202": answer(
            "Accepted.",
            {parts.JSON: parts.model(Accepted, ACCEPTED)},
            {
                "Location": header("The status document.", f"/status/{PHOTO_ID}"),
                REPLAYED: header(
                    f"This upload was accepted before under its `{KEY}`.", "true", required=False
                ),
            },
        )
    },
    (
        *(errors.InvalidRequestError, errors.FieldTooLargeError, errors.StalledUploadError),
        errors.BodyTooLargeError,
        *(errors.UnsupportedFormatError, errors.EmptyFileError, errors.UnreadableImageError),
        *(errors.TooManyPixelsError, errors.UnknownPresetError),
        *(errors.RequestInProgressError, errors.KeyReusedError),
        *(errors.StoreUnavailableError, errors.BlobUnavailableError),
        errors.DetectionUnavailableError,
        *(errors.OverloadedError, errors.StorageFullError),
    ),
    parameters=(
        in_header(
            KEY,
            "A name for this upload that no other has, such as a UUID; remembered for "
            f"{REMEMBERED // HOUR} hours. 1 to {LONGEST_KEY} printable ASCII characters, with or "
            "without quotes around them (draft-ietf-httpapi-idempotency-key-header).",
            "8e03978e-40d5-43e8-bc93-6894a57f9324",
        ),
        in_header(
            "traceparent",
            "The trace to go on with (W3C Trace Context); a new one without.",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ),
    body=_BODY,
)
