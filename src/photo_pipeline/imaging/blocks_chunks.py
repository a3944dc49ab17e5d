"""The chunks of a PNG, of a WebP and of a GIF."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from photo_pipeline.imaging.blocks import Block, BrokenContainerError, Kind

MAX_TEXT_BYTES: Final = 1 << 20
"""Of a packed text: as much as Pillow unpacks."""
XMP_KEYWORD: Final = "XML:com.adobe.xmp"

PNG_PICTURE: Final = frozenset(
    {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT", b"IEND"}
)
PNG_KINDS: Final[dict[bytes, Kind]] = {
    b"eXIf": Kind.EXIF,
    b"iCCP": Kind.ICC,
    b"tIME": Kind.TIME,
    **dict.fromkeys(
        (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD", b"hIST", b"pHYs", b"sBIT"),
        Kind.TECHNICAL,
    ),
}

WEBP_PICTURE: Final = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM"})
WEBP_FRAME_HEAD: Final = 16  # position, size, duration and flags of an ANMF, before its chunks
WEBP_KINDS: Final = {b"EXIF": Kind.EXIF, b"XMP ": Kind.XMP, b"ICCP": Kind.ICC}

GIF_TRAILER: Final = 0x3B
GIF_XMP: Final = b"XMP DataXMP"
GIF_XMP_TAIL: Final = 258  # the "magic trailer", whose bytes lead out of any sub-block
GIF_LOOPS: Final = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


def png_blocks(data: bytes) -> Iterator[Block]:
    """Yield the blocks of a PNG (third edition, 5.3)."""
    at = 8
    while True:
        (length,) = struct.unpack_from(">I", data, at)
        kind, payload = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length
        if at > len(data):
            raise BrokenContainerError("a cut chunk")
        if kind in {b"tEXt", b"zTXt", b"iTXt"}:
            yield _png_text(kind, payload)
        elif kind in PNG_KINDS:
            yield Block(PNG_KINDS[kind], payload)
        elif kind not in PNG_PICTURE:
            yield Block(Kind.UNKNOWN, payload, name=kind.decode("latin-1"))
        if kind == b"IEND":
            break
    if at < len(data):
        yield Block(Kind.TRAILING, data[at:])


def _png_text(kind: bytes, payload: bytes) -> Block:
    key, _, rest = payload.partition(b"\0")
    packed, encoding = kind == b"zTXt", "latin-1"
    if packed:
        rest = rest[1:]
    elif kind == b"iTXt":
        packed, encoding = rest[:1] == b"\1", "utf-8"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, MAX_TEXT_BYTES)
        except zlib.error as error:
            raise BrokenContainerError("a broken text") from error
    name = key.decode("latin-1")
    if name == XMP_KEYWORD:
        return Block(Kind.XMP, rest)
    return Block(Kind.TEXT, rest.decode(encoding, "replace").encode(), name=name)


def webp_blocks(data: bytes) -> Iterator[Block]:
    """Yield the blocks of a WebP (RFC 9649, 2.7)."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise BrokenContainerError("a cut file")
    yield from _riff(data, 12, end)
    if end < len(data):
        yield Block(Kind.TRAILING, data[end:])


def _riff(data: bytes, at: int, end: int) -> Iterator[Block]:
    while at < end:
        kind = data[at : at + 4]
        (length,) = struct.unpack_from("<I", data, at + 4)
        start, at = at + 8, at + 8 + length + length % 2
        if start + length > end:
            raise BrokenContainerError("a cut chunk")
        if kind == b"ANMF":
            yield from _riff(data, start + WEBP_FRAME_HEAD, start + length)
        elif kind in WEBP_KINDS:
            payload = data[start : start + length]
            yield Block(WEBP_KINDS[kind], payload.removeprefix(b"Exif\0\0"))
        elif kind not in WEBP_PICTURE:
            yield Block(Kind.UNKNOWN, data[start : start + length], name=kind.decode("latin-1"))


def gif_blocks(data: bytes) -> Iterator[Block]:
    """Yield the blocks of a GIF (GIF89a, 17 to 27)."""
    at = 13 + _gif_palette(data[10])
    while data[at] != GIF_TRAILER:
        introducer, at = data[at], at + 1
        if introducer == 0x2C:  # noqa: PLR2004  # an image
            _, at = _gif_bytes(data, at + 10 + _gif_palette(data[at + 8]))
        elif introducer == 0x21:  # noqa: PLR2004  # an extension
            label = data[at]
            payload, following = _gif_bytes(data, at + 1)
            yield from _gif_extension(label, payload, data[at + 1 : following])
            at = following
        else:
            raise BrokenContainerError("no block")
    if at + 1 < len(data):
        yield Block(Kind.TRAILING, data[at + 1 :])


def _gif_palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Return what the sub-blocks at *at* hold, and where they end."""
    parts = []
    while size := data[at]:
        parts.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return b"".join(parts), at + 1


def _gif_extension(label: int, payload: bytes, raw: bytes) -> Iterator[Block]:
    if label == 0xFE:  # noqa: PLR2004  # comment extension
        yield Block(Kind.COMMENT, payload)
    elif label == 0x01:
        yield Block(Kind.TEXT, payload)
    elif label == 0xFF and payload.startswith(GIF_XMP):  # noqa: PLR2004  # application extension
        yield Block(Kind.XMP, raw[1 + len(GIF_XMP) : -GIF_XMP_TAIL])
    elif label == 0xFF and payload.startswith(b"ICCRGBG1012"):  # noqa: PLR2004
        yield Block(Kind.ICC, payload)
    elif label == 0xFF and not payload.startswith(GIF_LOOPS):  # noqa: PLR2004
        yield Block(Kind.UNKNOWN, payload)
