"""The segments of a JPEG (ITU-T T.81, annex B), and what follows its end."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from photo_pipeline.imaging.blocks import Block, BrokenContainerError, Kind
from photo_pipeline.imaging.markers import RESTARTS, markers

SOI: Final = b"\xff\xd8"
EOI: Final = b"\xff\xd9"
SOS: Final = 0xDA
APP0: Final = 0xE0
COM: Final = 0xFE
STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
PICTURE: Final = frozenset(
    {0xC4, 0xCC, SOS, 0xDB, 0xDC, 0xDD, *range(0xC0, 0xC4), *range(0xC5, 0xCC), *range(0xCD, 0xD0)}
)
"""Tables, frames and scans."""
JFIF_BYTES: Final = 14  # of a JFIF segment without a thumbnail

SIGNATURES: Final[tuple[tuple[int, bytes, Kind], ...]] = (
    (0xE1, b"Exif\0\0", Kind.EXIF),
    (0xE1, b"Exif\0\xff", Kind.EXIF),
    (0xE1, b"http://ns.adobe.com/xap/1.0/\0", Kind.XMP),
    (0xE0, b"JFXX\0", Kind.THUMBNAIL),
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
    found: list[int] = []
    at = len(SOI)
    while True:
        start = at
        while data[at] == 0xFF:  # noqa: PLR2004  # a marker, or fill before one
            at += 1
        if at == start:
            raise BrokenContainerError("no marker")
        marker = data[at]
        at += 1
        if marker == EOI[1]:
            break
        if marker in STANDALONE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        payload = data[at + 2 : at + length]
        if len(payload) != length - 2:
            raise BrokenContainerError("a cut segment")
        at += length
        if marker == 0xE1 and payload.startswith(EXTENDED_XMP):  # noqa: PLR2004  # APP1
            extended += payload[len(EXTENDED_XMP) + EXTENDED_XMP_HEAD :]
        elif marker not in PICTURE:
            yield from _segment(marker, payload)
        if marker == SOS:
            if not deep:
                break
            if not found:
                found = [place for place, kind in markers(data) if kind not in RESTARTS]
            # Only scans contain no other marker than restarts; a table might, before one.
            following = bisect_left(found, at)
            if following == len(found):
                raise BrokenContainerError("no end of the picture")
            at = found[following]
    if extended:
        yield Block(Kind.XMP, bytes(extended))
    if deep:
        if at < len(data):
            yield Block(Kind.TRAILING, data[at:])
    elif not data[-256:].rstrip(b"\0").endswith(EOI):
        yield Block(Kind.TRAILING)


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
