"""IPTC-IIM datasets (IIM 4.2), and the image resource blocks of Photoshop that carry them."""

import struct
from collections.abc import Iterator
from typing import Final

from photo_pipeline.domain.metadata import Group
from photo_pipeline.imaging.blocks import DAMAGE, Block, Kind
from photo_pipeline.imaging.items import Item, clean, decoded

TAG_MARKER: Final = 0x1C
APPLICATION: Final = 2  # the record with what people write
MAX_DATASET: Final = 0x8000  # from here on the length is of another kind, which nobody uses
MAX_DATASETS: Final = 10_000

FIELDS: Final = {80: "creator", 110: "credit", 116: "copyright"}
GROUPS: Final[dict[int, Group]] = {
    80: Group.CREATOR,
    110: Group.CREATOR,
    116: Group.COPYRIGHT,
    **dict.fromkeys((26, 27, 90, 92, 95, 100, 101), Group.LOCATION),
    **dict.fromkeys((85, 118, 122), Group.PERSON),
    **dict.fromkeys((55, 60, 62, 63), Group.CAPTURE_TIME),
    **dict.fromkeys((5, 105, 120), Group.COMMENT),
}
RESOURCES: Final[dict[int, Kind]] = {
    0x0404: Kind.IPTC,
    0x0409: Kind.THUMBNAIL,
    0x040C: Kind.THUMBNAIL,
    0x040F: Kind.ICC,
    0x0422: Kind.EXIF,
    0x0423: Kind.EXIF,
    0x0424: Kind.XMP,
}


def iptc_items(data: bytes) -> Iterator[Item]:
    """Yield what the datasets say, up to the first damage."""
    yield Item(Group.IPTC)
    at = 0
    creators: list[str] = []
    for _ in range(MAX_DATASETS):
        if len(data) < at + 5 or data[at] != TAG_MARKER:
            break
        record, number = data[at + 1], data[at + 2]
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if length >= MAX_DATASET:
            break
        value = clean(decoded(data[at + 5 : at + 5 + length]))
        at += 5 + length
        if record != APPLICATION:
            continue
        if FIELDS.get(number) == "creator":
            creators.append(value)
        elif number in GROUPS:
            yield Item(GROUPS[number], FIELDS.get(number, ""), value)
    if creators:
        yield Item(Group.CREATOR, "creator", clean("; ".join(creators)))


def resource_blocks(data: bytes) -> Iterator[Block | Item]:
    """Yield what lies in image resource blocks (Adobe Photoshop File Formats Specification)."""
    yield Item(Group.PHOTOSHOP)
    at = 0
    try:
        while data[at : at + 4] == b"8BIM":
            (number,) = struct.unpack_from(">H", data, at + 4)
            at += 6 + (data[at + 6] + 2 & ~1)
            (length,) = struct.unpack_from(">I", data, at)
            if number in RESOURCES:
                yield Block(RESOURCES[number], data[at + 4 : at + 4 + length])
            at += 4 + length + length % 2
    except DAMAGE:
        yield Item(Group.UNKNOWN)
