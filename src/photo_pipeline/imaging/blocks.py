"""What lies in an image file beside its pixels, by its container; never a pixel is decoded."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How the bytes of a block are to be read, or what they are for."""

    EXIF = "exif"  #: a TIFF structure
    TIFF = "tiff"  #: the same, as the file itself: its further directories are pages
    XMP = "xmp"
    IPTC = "iptc"  #: IIM datasets
    PHOTOSHOP = "photoshop"  #: image resource blocks
    ICC = "icc"
    COMMENT = "comment"
    TEXT = "text"
    TIME = "time"
    THUMBNAIL = "thumbnail"
    TECHNICAL = "technical"
    PICTURES = "pictures"  #: further pictures, or an index of them
    TRAILING = "trailing"  #: behind the end of the picture
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a file that is not its picture; ``name`` is the key of a text."""

    kind: Kind
    data: bytes = b""
    name: str = ""


class BrokenContainerError(ValueError):
    """The file is not built as its format wants; says nothing outside this package."""


DAMAGE = (BrokenContainerError, IndexError, struct.error, OverflowError)
"""What walking through a broken file raises."""


def tolerant(walk: Iterator[Block]) -> Iterator[Block]:
    """Yield the blocks of *walk* up to the first damage, which becomes a block of its own."""
    try:
        yield from walk
    except DAMAGE:
        yield Block(Kind.UNKNOWN, name="damage")
