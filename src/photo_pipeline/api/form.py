"""Reading an upload: a multipart body (RFC 7578), streamed under limits."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import BodyPartReader, MultipartReader, web

from photo_pipeline.api.limits import Limits
from photo_pipeline.errors import (
    BodyTooLargeError,
    FieldTooLargeError,
    InvalidRequestError,
    StalledUploadError,
)
from photo_pipeline.imaging.sniff import HEAD_BYTES, sniff
from photo_pipeline.storage.blobs import Upload

READ_BYTES: Final = 64 * 1024
WRITE_BYTES: Final = 1024 * 1024  # each write is a thread hop of about 0.1 ms: make few
FIELD_BYTES: Final = 16 * 1024  # enough for any metadata that is not itself a document
FORM_OVERHEAD_BYTES: Final = 64 * 1024  # boundaries, part headers and the other fields
STALL_S: Final = 60.0  # a client that sends nothing for this long has gone

LONGEST_NAME: Final = 255  # characters, as file systems have it
DEEPEST_METADATA: Final = 32  # MongoDB keeps 100 levels, and ours begin further down

_PARTS: Final = 4  # the file and each of the other fields once


@dataclass(slots=True)
class Form:
    """What the client sent beside the bytes."""

    filename: str = ""  # never empty once there is a file
    preset: str | None = None
    focal_point: tuple[float, float] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)


async def read_form(request: web.Request, upload: Upload, limits: Limits) -> Form:
    """Stream the part ``file`` into *upload*, whatever its place, and parse the other fields.

    Raises InvalidRequestError, BodyTooLargeError (as soon as the limit is passed),
    UnsupportedFormatError (after the first bytes), EmptyFileError, FieldTooLargeError.
    """
    if (request.content_length or 0) > limits.upload_bytes + FORM_OVERHEAD_BYTES:
        raise BodyTooLargeError(_too_large(limits))
    if request.content_type != "multipart/form-data":
        raise InvalidRequestError("send multipart/form-data with a part called 'file'")
    form = Form()
    try:
        reader = await request.multipart()
        for _ in range(_PARTS + 1):
            async with asyncio.timeout(STALL_S):
                part = await reader.next()
            if part is None:
                break
            if isinstance(part, MultipartReader):
                raise InvalidRequestError("nested multipart is not supported")
            await _read_part(part, form, upload, limits)
        else:
            raise InvalidRequestError(f"more than {_PARTS} parts")
    except TimeoutError:
        raise StalledUploadError(f"nothing came for {STALL_S:g} s") from None
    except (AssertionError, ValueError, web.RequestPayloadError) as error:
        # How aiohttp tells a malformed body, part or encoding.
        raise InvalidRequestError(f"malformed multipart body: {error}") from error
    if not form.filename:
        raise InvalidRequestError("the part 'file' is missing")
    return form


async def _read_part(part: BodyPartReader, form: Form, upload: Upload, limits: Limits) -> None:
    if part.name == "file":
        if form.filename:
            raise InvalidRequestError("send one file per request")
        form.filename = plain_name(part.filename or "")
        await _receive(part, upload, limits)
    else:
        _set_field(form, part.name or "", await _read_text(part))


async def _receive(part: BodyPartReader, upload: Upload, limits: Limits) -> None:
    buffer = bytearray()
    received = 0
    sniffed = False
    async for chunk in _chunks(part):
        received += len(chunk)
        if received > limits.upload_bytes:
            raise BodyTooLargeError(_too_large(limits))
        buffer += chunk
        if not sniffed and received >= HEAD_BYTES:
            sniff(bytes(buffer[:HEAD_BYTES]))  # refuses what is no image before the rest is read
            sniffed = True
        if len(buffer) >= WRITE_BYTES:
            await upload.write(bytes(buffer))
            buffer.clear()
    if not sniffed:
        sniff(bytes(buffer))  # a slow client may send its first bytes one by one
    await upload.write(bytes(buffer))


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while True:
        async with asyncio.timeout(STALL_S):
            chunk = await part.read_chunk(READ_BYTES)
        if not chunk:
            return
        yield chunk


def _too_large(limits: Limits) -> str:
    return f"more than the allowed {limits.upload_bytes} bytes"


async def _read_text(part: BodyPartReader) -> str:
    value = bytearray()
    async for chunk in _chunks(part):
        value += chunk
        if len(value) > FIELD_BYTES:
            raise FieldTooLargeError(f"field {part.name!r} is longer than {FIELD_BYTES} bytes")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(f"field {part.name!r} is not UTF-8") from None


def _set_field(form: Form, name: str, value: str) -> None:
    match name:
        case _ if name in form.given:
            raise InvalidRequestError(f"field {name!r} is there twice")
        case "preset":
            form.preset = value or None
        case "focal_point":
            form.focal_point = parse_focal_point(value)
        case "metadata":
            form.metadata = parse_metadata(value)
        case _:
            raise InvalidRequestError(f"unknown field {name!r}")
    form.given.add(name)


def plain_name(filename: str) -> str:
    """Return what a client calls its file, without path and control characters.

    Browsers write quotes and line ends as %22, %0A, %0D (HTML, multipart/form-data encoding).
    """
    for escaped, meant in (("%22", '"'), ("%0A", " "), ("%0D", " ")):
        filename = filename.replace(escaped, meant)
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(c if c.isprintable() else " " for c in name).strip()
    return printable[:LONGEST_NAME] if printable.strip(".") else "photo"


def parse_focal_point(value: str) -> tuple[float, float] | None:
    """Parse ``x,y``, fractions of width and height from the upper left corner; "" is None."""
    if not value.strip():
        return None
    try:
        x, y = (float(part) for part in value.split(","))
    except ValueError:
        raise InvalidRequestError("focal_point must be 'x,y'") from None
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise InvalidRequestError("focal_point must lie in 0..1")
    return x, y


def parse_metadata(value: str) -> dict[str, Any]:
    """Parse a JSON object (RFC 8259) that the database can keep as it is; "" is an empty one.

    At most DEEPEST_METADATA levels, numbers of 64 bits, texts of whole Unicode characters, no
    name that begins with ``$``.
    """
    if not value.strip():
        return {}
    try:
        metadata = json.loads(value)
    except (ValueError, RecursionError):
        raise InvalidRequestError("metadata must be a JSON object") from None
    if not isinstance(metadata, dict):
        raise InvalidRequestError("metadata must be a JSON object")
    _check_metadata(metadata, DEEPEST_METADATA)
    return metadata


def _check_metadata(value: Any, levels: int) -> None:
    """Refuse what JSON can say and BSON cannot."""
    if levels == 0:
        raise InvalidRequestError(f"metadata is nested deeper than {DEEPEST_METADATA} levels")
    match value:
        case dict():
            for name, inner in value.items():
                if name.startswith("$"):
                    # MongoDB gives {"$ref", "$id"} back as something else than it was given.
                    raise InvalidRequestError("metadata has a name that begins with '$'")
                _check_text(name)
                _check_metadata(inner, levels - 1)
        case list():
            for inner in value:
                _check_metadata(inner, levels - 1)
        case str():
            _check_text(value)
        case float() if not math.isfinite(value):
            raise InvalidRequestError("metadata has a number that is not finite")
        case int() if not -(2**63) <= value < 2**63:
            raise InvalidRequestError("metadata has an integer of more than 64 bits")
        case _:
            pass


def _check_text(text: str) -> None:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequestError("metadata has a NUL or half a character in a text")
