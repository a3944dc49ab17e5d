"""The boxes of AVIF and HEIC (ISO/IEC 14496-12, 23008-12) and of JPEG 2000 (15444-1, annex I)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from photo_pipeline.imaging.blocks import Block, BrokenContainerError, Kind

MAX_BOXES: Final = 100_000
"""A grid of 100 million pixels has some thousand tiles, each with a handful of boxes."""

ONCE: Final = frozenset({b"iref", b"idat", b"iloc", b"iinf"})
"""What says where items are and what they are; a second one is unknown."""
CONTAINERS: Final = frozenset({b"iprp", b"ipco", b"dinf", b"moov", b"trak", b"mdia", b"minf"})
PICTURE: Final = frozenset(
    {
        *(b"ftyp", b"mdat", b"pitm", b"ipma"),
        *(b"ispe", b"pixi", b"av1C", b"hvcC", b"auxC", b"irot", b"imir", b"clap", b"pasp"),
        *(b"a1op", b"lsel", b"a1lx", b"clli", b"mdcv", b"amve", b"dref", b"url ", b"grpl"),
    }
)
SEQUENCE: Final = frozenset(
    {b"mvhd", b"tkhd", b"mdhd", b"vmhd", b"nmhd", b"stbl", b"edts", b"tref"}
)
JP2_PICTURE: Final = frozenset(
    {b"jP  ", b"ftyp", b"jp2h", b"jp2c", b"ihdr", b"bpcc", b"pclr", b"cmap", b"cdef"}
)
UUIDS: Final[dict[bytes, Kind]] = {
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): Kind.XMP,
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): Kind.IPTC,
    bytes.fromhex("0537cdab9d0c4431a72afa561f2a113e"): Kind.EXIF,
    b"JpgTiffExif->JP2": Kind.EXIF,
}
HANDLER_NAMES: Final = frozenset({b"", b"libavif"})
ITEM_NAMES: Final = frozenset({b"", b"Color", b"Alpha", b"Exif", b"XMP"})
"""What encoders write into texts that nobody reads."""
CODED_ITEMS: Final = frozenset({b"av01", b"hvc1", b"grid", b"iovl", b"iden", b"tmap"})


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    start: int
    end: int


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Box]:
    for _ in range(MAX_BOXES):
        if start >= end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        stop = end if size == 0 else start + size
        if stop > end or stop < start + head:
            raise BrokenContainerError("a cut box")
        yield _Box(kind, start + head, stop)
        start = stop


def heif_blocks(data: bytes) -> Iterator[Block]:
    """Yield the blocks of an AVIF or HEIC file, those of its items included."""
    used: list[tuple[int, int]] = []
    stored: list[_Box] = []
    for box in _boxes(data, 0, len(data)):
        if box.kind == b"meta":
            yield from _meta(data, box, used)
        elif box.kind == b"moov":
            yield Block(Kind.PICTURES)
            yield from _properties(data, box)
        elif box.kind == b"mdat":
            stored.append(box)
        elif box.kind != b"ftyp":
            yield from _loose(data, box)
    spoken_for = sum(
        max(0, min(end, box.end) - max(start, box.start))
        for box in stored
        for start, end in set(used)
    )
    if spoken_for < sum(box.end - box.start for box in stored):
        yield Block(Kind.TRAILING, name="mdat")


def _meta(data: bytes, meta: _Box, used: list[tuple[int, int]]) -> Iterator[Block]:
    boxes: dict[bytes, _Box] = {}
    for box in _boxes(data, meta.start + 4, meta.end):
        if box.kind not in ONCE or box.kind in boxes:
            yield from _properties(data, box)
        else:
            boxes[box.kind] = box
    if (references := boxes.get(b"iref")) and any(
        box.kind == b"thmb" for box in _boxes(data, references.start + 4, references.end)
    ):
        yield Block(Kind.THUMBNAIL)
    idat = boxes[b"idat"].start if b"idat" in boxes else 0
    places = _locations(data, boxes[b"iloc"], idat) if b"iloc" in boxes else {}
    for extents in places.values():
        used += extents
    if b"iinf" in boxes:
        for number, kind, content in _items(data, boxes[b"iinf"]):
            payload = b"".join(data[start:end] for start, end in places.get(number, ()))
            yield from _item(kind, content, payload)


def _item(kind: bytes, content: bytes, payload: bytes) -> Iterator[Block]:
    if kind == b"Exif":
        skip = 4 + int.from_bytes(payload[:4], "big")
        yield Block(Kind.EXIF, payload[skip:].removeprefix(b"Exif\0\0"))
    elif kind == b"mime" and content == b"application/rdf+xml":
        yield Block(Kind.XMP, payload)
    elif kind not in CODED_ITEMS:
        yield Block(Kind.UNKNOWN, payload, name=kind.decode("latin-1"))


def _properties(data: bytes, box: _Box) -> Iterator[Block]:
    if box.kind in CONTAINERS:
        for inner in _boxes(data, box.start, box.end):
            yield from _properties(data, inner)
    elif box.kind == b"hdlr":
        if (name := data[box.start + 24 : box.end].strip(b"\0")) not in HANDLER_NAMES:
            yield Block(Kind.TEXT, name)
    elif box.kind == b"colr":
        if data[box.start : box.start + 4] in {b"prof", b"rICC"}:
            yield Block(Kind.ICC, data[box.start + 4 : box.end])
    elif box.kind not in PICTURE | SEQUENCE:
        yield from _loose(data, box)


def _loose(data: bytes, box: _Box) -> Iterator[Block]:
    if box.kind == b"uuid":
        kind = UUIDS.get(data[box.start : box.start + 16], Kind.UNKNOWN)
        yield Block(kind, data[box.start + 16 : box.end].removeprefix(b"Exif\0\0"))
    elif box.kind not in {b"free", b"skip"} or data[box.start : box.end].strip(b"\0"):
        yield Block(Kind.UNKNOWN, data[box.start : box.end], name=box.kind.decode("latin-1"))


def _items(data: bytes, box: _Box) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield number, type and, of a ``mime`` item, content type of every item."""
    for entry in _boxes(data, box.start + (8 if data[box.start] else 6), box.end):
        at = entry.start + 4
        size = 4 if data[entry.start] > 2 else 2  # noqa: PLR2004  # version 3: wide numbers
        number = int.from_bytes(data[at : at + size], "big")
        at += size + 2
        name, *rest = data[at + 4 : entry.end].split(b"\0")
        if name not in ITEM_NAMES:
            yield -1, b"name", b""  # a text that anybody could have put there
        yield number, data[at : at + 4], rest[0] if rest else b""


def _locations(data: bytes, box: _Box, idat: int) -> dict[int, list[tuple[int, int]]]:
    """Return item number → where its bytes are in the file."""
    version, at = data[box.start], box.start + 4
    sizes = data[at : at + 2]
    widths = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4, sizes[1] & 15 if version else 0
    at += 2

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > box.end:
            raise BrokenContainerError("a cut item location")
        return int.from_bytes(data[at - size : at], "big")

    wide = 4 if version > 1 else 2
    places: dict[int, list[tuple[int, int]]] = {}
    for _ in range(number(wide)):
        item = number(wide)
        method = number(2) & 15 if version else 0
        number(2)  # the file itself, always
        base = number(widths[2]) + (idat if method == 1 else 0)
        extents = []
        for _ in range(number(2)):
            number(widths[3])
            start = base + number(widths[0])
            extents.append((start, start + number(widths[1])))
        places[item] = extents
    return places


def jp2_blocks(data: bytes) -> Iterator[Block]:
    """Yield the blocks of a JP2; a bare codestream (J2K) carries comments at most, not read."""
    for box in _boxes(data, 0, len(data)):
        inner = _boxes(data, box.start, box.end) if box.kind == b"jp2h" else (box,)
        for one in inner:
            if one.kind == b"colr" and data[one.start] > 1:
                yield Block(Kind.ICC, data[one.start + 3 : one.end])
            elif one.kind in {b"res ", b"colr"}:
                yield Block(Kind.TECHNICAL)
            elif one.kind == b"xml ":
                yield Block(Kind.XMP, data[one.start : one.end])
            elif one.kind not in JP2_PICTURE:
                yield from _loose(data, one)
