"""EXIF (CIPA DC-008): the tags of a TIFF structure, and a minimal one of our own."""

import struct
from collections.abc import Iterator, Mapping
from typing import Final

from photo_pipeline.domain.metadata import Group
from photo_pipeline.imaging.blocks import DAMAGE, Block, Kind
from photo_pipeline.imaging.items import Item, clean, decoded
from photo_pipeline.imaging.tiff import EXIF_IFD, GPS_IFD, LONG, SHORT, Directories, Tag

ASCII: Final = 2
RATIONAL: Final = 5
UNDEFINED: Final = 7

EXIF_VERSION: Final = 0x9000

FIELDS: Final[dict[int, tuple[str, int]]] = {
    0x010F: ("make", ASCII),
    0x0110: ("model", ASCII),
    0x013B: ("creator", ASCII),
    0x8298: ("copyright", ASCII),
    0x829A: ("exposure_time", RATIONAL),
    0x829D: ("f_number", RATIONAL),
    0x8827: ("iso", SHORT),
    0x9003: ("captured_at", ASCII),
    0x9011: ("captured_offset", ASCII),
    0x920A: ("focal_length", RATIONAL),
    0xA434: ("lens_model", ASCII),
}
"""The tags that fill a field, and the type in which we write them."""
IN_IFD0: Final = frozenset({0x010F, 0x0110, 0x013B, 0x8298})

NESTED: Final = {0x02BC: Kind.XMP, 0x83BB: Kind.IPTC, 0x8649: Kind.PHOTOSHOP, 0x8773: Kind.ICC}
GROUPS: Final[dict[int, Group]] = {
    0x010F: Group.CAMERA,
    0x0110: Group.CAMERA,
    0x013B: Group.CREATOR,
    0x8298: Group.COPYRIGHT,
    0x927C: Group.MAKER_NOTE,
    0xC634: Group.MAKER_NOTE,
    GPS_IFD: Group.GPS,
    **dict.fromkeys((0xA431, 0xA435, 0xC62F, 0xA420, 0xC65D), Group.SERIAL_NUMBERS),
    # Owner, photographer, editors, Windows' author, and the computer, which bears their names.
    **dict.fromkeys((0xA430, 0xA437, 0xA438, 0x9C9D, 0x013C), Group.PERSON),
    **dict.fromkeys(
        (0x010E, 0x9286, 0x9C9B, 0x9C9C, 0x9C9E, 0x9C9F, 0xA436, 0x010D, 0x011D, 0x9213),
        Group.COMMENT,
    ),
    **dict.fromkeys(
        (0x0132, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292),
        Group.CAPTURE_TIME,
    ),
    **dict.fromkeys((0x0201, 0x0202), Group.THUMBNAIL),
    **dict.fromkeys((0x829A, 0x829D, 0x8822, 0x8827, *range(0xA432, 0xA435)), Group.CAMERA),
    **dict.fromkeys((*range(0x9201, 0x9210), *range(0xA401, 0xA40D)), Group.CAMERA),
    **dict.fromkeys((0x0131, 0xA439, 0xA43A, 0xA43B, 0xA43C), Group.CAMERA),
}
"""By tag; those of the GPS directory are all GPS, everything else is technical."""


def exif_items(data: bytes, *, pages: bool, deep: bool) -> Iterator[Item | Block]:
    """Yield what the TIFF structure *data* says; blocks in other standards as blocks.

    With *pages* it is a TIFF file, whose further directories are pictures and not previews.
    With *deep* also count bytes that no tag accounts for.
    """
    further = Group.FURTHER_PICTURES if pages else Group.THUMBNAIL
    try:
        reader = Directories(data)
        for tag in reader.tags():
            if tag.number in NESTED:
                yield Block(NESTED[tag.number], tag.value)
            elif tag.directory == "gps":
                yield Item(Group.GPS)
            elif tag.directory == "1":
                yield Item(further)
            elif tag.number in FIELDS:
                field = FIELDS[tag.number][0]
                yield Item(GROUPS[tag.number], field, _text(tag, reader.order))
            elif tag.number not in {EXIF_IFD, EXIF_VERSION}:
                yield Item(GROUPS.get(tag.number, Group.TECHNICAL))
        if deep and reader.unaccounted():
            yield Item(Group.UNKNOWN)
    except DAMAGE:
        yield Item(Group.UNKNOWN)


def _text(tag: Tag, order: str) -> str:
    if tag.type in {5, 10} and len(tag.value) >= 8:  # noqa: PLR2004  # a fraction
        return "/".join(
            map(
                str, struct.unpack_from(order + ("II" if tag.type == RATIONAL else "ii"), tag.value)
            )
        )
    if tag.type == SHORT and tag.value:
        return str(struct.unpack_from(order + "H", tag.value)[0])
    if tag.type == LONG and tag.value:
        return str(struct.unpack_from(order + "I", tag.value)[0])
    # A copyright may have two parts, of the photographer and of the editor.
    parts = (clean(decoded(part)) for part in tag.value.split(b"\0"))
    return "; ".join(part for part in parts if part)


def make_exif(fields: Mapping[str, str]) -> bytes:
    """Return a TIFF structure with the *fields* that EXIF can tell, or nothing without any.

    Texts are UTF-8, as the Metadata Working Group advises; always the same bytes.
    """
    entries: dict[int, tuple[int, int, bytes]] = {}
    for number, (field, type_) in FIELDS.items():
        if packed := _packed(type_, fields.get(field, "")):
            entries[number] = packed
    if not entries:
        return b""
    main = {number: entry for number, entry in entries.items() if number in IN_IFD0}
    inner = {number: entry for number, entry in entries.items() if number not in IN_IFD0}
    if inner:
        inner[EXIF_VERSION] = (UNDEFINED, 4, b"0232")
        main[EXIF_IFD] = (LONG, 1, b"\0\0\0\0")
        at = 8 + len(_directory(main, 8))
        main[EXIF_IFD] = (LONG, 1, struct.pack("<I", at))
        return b"II*\0\x08\0\0\0" + _directory(main, 8) + _directory(inner, at)
    return b"II*\0\x08\0\0\0" + _directory(main, 8)


def _packed(type_: int, value: str) -> tuple[int, int, bytes] | None:
    try:
        match type_:
            case _ if not value:
                return None
            case 2:
                text = value.encode() + b"\0"
                return type_, len(text), text
            case 5:
                one, _, other = value.partition("/")
                return type_, 1, struct.pack("<II", int(one), int(other or 1))
            case _:
                return type_, 1, struct.pack("<H", int(value))
    except (ValueError, struct.error):
        return None


def _directory(entries: Mapping[int, tuple[int, int, bytes]], at: int) -> bytes:
    """Return a directory that begins at *at*, followed by the values that do not fit into it."""
    values = b""
    place = at + 2 + 12 * len(entries) + 4
    out = struct.pack("<H", len(entries))
    for number, (type_, count, value) in sorted(entries.items()):
        out += struct.pack("<HHI", number, type_, count)
        if len(value) > 4:  # noqa: PLR2004  # what fits into an entry
            out += struct.pack("<I", place + len(values))
            values += value + b"\0" * (len(value) % 2)
        else:
            out += value.ljust(4, b"\0")
    return out + b"\0\0\0\0" + values
