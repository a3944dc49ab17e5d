"""Which metadata there is, and which of it may stay in a rendition."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from photo_pipeline.domain.stage import Parameters


class Group(StrEnum):
    """What a piece of metadata is about: the words of the privacy receipt."""

    COPYRIGHT = "copyright"
    CREATOR = "creator"
    LICENCE = "licence"
    CAMERA = "camera"
    CAPTURE_TIME = "capture_time"
    GPS = "gps"
    LOCATION = "location"
    SERIAL_NUMBERS = "serial_numbers"
    PERSON = "person"
    MAKER_NOTE = "maker_note"
    THUMBNAIL = "thumbnail"
    COMMENT = "comment"
    TEXT = "text"
    XMP = "xmp"
    IPTC = "iptc"
    PHOTOSHOP = "photoshop"
    ICC_PROFILE = "icc_profile"
    TECHNICAL = "technical"
    FURTHER_PICTURES = "further_pictures"
    TRAILING_DATA = "trailing_data"
    UNKNOWN = "unknown"


Keepable = Literal["copyright", "creator", "licence", "camera", "capture_time"]
"""All that a preset can ask for. Places, serial numbers, people, maker notes, embedded previews
and whatever is not understood can be kept by none."""

MAX_FIELD: Final = 1000
"""Characters of a field that is kept: ample for usage terms, and it is in every rendition."""

FIELDS: Final[dict[str, Group]] = {
    "creator": Group.CREATOR,
    "credit": Group.CREATOR,
    "copyright": Group.COPYRIGHT,
    "usage_terms": Group.LICENCE,
    "web_statement": Group.LICENCE,
    "licence": Group.LICENCE,
    "licensor_url": Group.LICENCE,
    "make": Group.CAMERA,
    "model": Group.CAMERA,
    "lens_model": Group.CAMERA,
    "exposure_time": Group.CAMERA,
    "f_number": Group.CAMERA,
    "iso": Group.CAMERA,
    "focal_length": Group.CAMERA,
    "captured_at": Group.CAPTURE_TIME,
    "captured_offset": Group.CAPTURE_TIME,
}
"""The fields that can be kept, by the names that receipts call them."""


class MetadataParameters(Parameters):
    """Which metadata of the upload its renditions carry; everything else is removed.

    ``keep`` may name ``copyright``, ``creator`` (and credit), ``licence`` (usage terms, licence
    and its web page), ``camera`` (make, model, lens, exposure; never a serial number) and
    ``capture_time``. The default is the first three; an empty list keeps nothing at all.
    """

    keep: Annotated[tuple[Keepable, ...], Field(max_length=5)] = (
        "copyright",
        "creator",
        "licence",
    )

    @field_validator("keep")
    @classmethod
    def _in_one_order(cls, keep: tuple[Keepable, ...]) -> tuple[Keepable, ...]:
        if len(set(keep)) < len(keep):
            msg = "keep must name each group once"
            raise ValueError(msg)
        return tuple(sorted(keep))
