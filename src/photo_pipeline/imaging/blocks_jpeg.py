"""The segments of a JPEG (ITU-T T.81, annex B), and what follows its end."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from photo_pipeline.imaging.blocks import Block, BrokenContainerError, Kind
from photo_pipeline.imaging.markers import PREFIX, RESTARTS, markers

SOI: Final = b"\xff\xd8"
EOI: Final = b"\xff\xd9"
SOS: Final = 0xDA
APP0: Final = 0xE0
APP1: Final = 0xE1
COM: Final = 0xFE
STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
PICTURE: Final = frozenset(
    {
        0xC4,
        0xCC,
        0xD9,
        SOS,
        0xDB,
        0xDC,
        0xDD,
        *range(0xC0, 0xC4),
        *range(0xC5, 0xCC),
        *range(0xCD, 0xD0),
    }
)
"""Tables, frames, scans and the end."""
LAST_BYTES: Final = 256
"""In which the end is looked for where not every byte is: some cameras pad with zeros."""
JFIF_BYTES: Final = 14  # of a JFIF segment without a thumbnail

SIGNATURES: Final[tuple[tuple[int, bytes, Kind], ...]] = (
    (APP1, b"Exif\0\0", Kind.EXIF),
    (APP1, b"Exif\0\xff", Kind.EXIF),
    (APP1, b"http://ns.adobe.com/xap/1.0/\0", Kind.XMP),
    (APP0, b"JFXX\0", Kind.THUMBNAIL),
    (0xE2, b"ICC_PROFILE\0", Kind.ICC),
    (0xE2, b"MPF\0", Kind.PICTURES),
    (0xED, b"Photoshop 3.0\0", Kind.PHOTOSHOP),
    (0xEE, b"Adobe", Kind.TECHNICAL),
)
EXTENDED_XMP: Final = b"http://ns.adobe.com/xmp/extension/\0"
EXTENDED_XMP_HEAD: Final = 40  # GUID, full length and offset, before the bytes


def jpeg_blocks(data: bytes, *, deep: bool) -> Iterator[Block]:
    """Yield the blocks of a JPEG.

    With *deep* every byte is accounted for, also between and behind the scans (some 0.5 ms for
    a MB). Without, reading ends at the first scan, and what follows the picture is told from
    the last bytes: enough to say what a photo has, too little to say what it has not.
    """
    extended = bytearray()
    at = len(SOI)
    for marker, start, end in _segments(data, deep=deep):
        at, payload = end, data[start:end]
        if marker == APP1 and payload.startswith(EXTENDED_XMP):
            extended += payload[len(EXTENDED_XMP) + EXTENDED_XMP_HEAD :]
        elif marker not in PICTURE:
            yield from _segment(marker, payload)
    if extended:
        yield Block(Kind.XMP, bytes(extended))
    if deep:
        if at < len(data):
            yield Block(Kind.TRAILING, data[at:])
    elif not data[-LAST_BYTES:].rstrip(b"\0").endswith(EOI):
        yield Block(Kind.TRAILING)


def _segments(data: bytes, *, deep: bool) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of every segment up to the end of the picture, and that."""
    at = len(SOI)
    places: list[int] = []
    while True:
        marker, at = _marker(data, at)
        if marker == EOI[1]:
            yield marker, at, at
            return
        if marker in STANDALONE:
            continue
        end = at + int.from_bytes(data[at : at + 2], "big")
        if not at + 2 <= end <= len(data):
            raise BrokenContainerError("a cut segment")
        yield marker, at + 2, end
        at = end
        if marker == SOS:
            if not deep:
                return
            places = places or [place for place, kind in markers(data) if kind not in RESTARTS]
            # Among entropy-coded bytes there is no other marker than restarts.
            following = bisect_left(places, at)
            if following == len(places):
                raise BrokenContainerError("no end of the picture")
            at = places[following]


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """Return the marker at *at*, and where what follows it begins."""
    start = at
    while data[at] == PREFIX:  # of the marker, or fill before it
        at += 1
    if at == start:
        raise BrokenContainerError("no marker")
    return data[at], at + 1


def _segment(marker: int, payload: bytes) -> Iterator[Block]:
    if marker == COM:
        yield Block(Kind.COMMENT, payload)
        return
    if marker == APP0 and payload.startswith(b"JFIF\0"):
        if len(payload) != JFIF_BYTES:
            yield Block(Kind.THUMBNAIL, payload[JFIF_BYTES:])
        return
    for number, signature, kind in SIGNATURES:
        if marker == number and payload.startswith(signature):
            yield Block(kind, payload[len(signature) :])
            return
    yield Block(Kind.UNKNOWN, payload, name=f"APP{marker - APP0}")
