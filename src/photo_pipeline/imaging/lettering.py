"""Draw a line of text with the typefaces that the package carries.

``typefaces/README.md`` says which characters they have. A text may need several: each character
is drawn with the first typeface that has it.
"""

import io
import struct
import unicodedata
from bisect import bisect
from functools import lru_cache
from importlib.resources import files
from itertools import groupby
from typing import Final

from PIL import Image, ImageDraw, ImageFont, features
from PIL.ImageFont import FreeTypeFont, Layout

TYPEFACES: Final = ("DejaVuSans.ttf", "DroidSansFallback.ttf")
"""In the order of asking for a character: alphabets first; Han, kana and Hangul last."""

JOINERS: Final = "\u200c\u200d\u200e\u200f"
"""Joiners and direction marks (Unicode 23.2, 23.3): they show nothing, but Persian needs them."""

REFERENCE_PX: Final = 100  # font size at which a text is measured; fonts scale linearly

CACHED_FONTS: Final = 16
"""Two typefaces at the reference size and at those of the cached marks."""

_RIGHT_TO_LEFT: Final = frozenset({"R", "AL"})  # UAX #9, table 4
_UNICODE_FULL: Final = struct.pack(">HH", 3, 10)  # platform Windows, all of Unicode (OpenType)
_RANGES: Final = 12  # the table format that lists ranges


@lru_cache
def ranges(typeface: str) -> tuple[tuple[int, int], ...]:
    """Return the code points that *typeface* has, as first and last of each range, in order.

    Source: OpenType 1.9, ``cmap``, format 12.
    """
    data = _data(typeface)
    (count,) = struct.unpack_from(">H", data, 4)
    directory = (struct.unpack_from(">4s4xII", data, 12 + 16 * i) for i in range(count))
    cmap = next(offset for tag, offset, _ in directory if tag == b"cmap")
    (count,) = struct.unpack_from(">H", data, cmap + 2)
    records = (struct.unpack_from(">4sI", data, cmap + 4 + 8 * i) for i in range(count))
    table = cmap + next(offset for encoding, offset in records if encoding == _UNICODE_FULL)
    if struct.unpack_from(">H", data, table)[0] != _RANGES:
        raise ValueError(f"{typeface}: its character map has an unknown format")
    (count,) = struct.unpack_from(">I", data, table + 12)
    return tuple(struct.unpack_from(">II", data, table + 16 + 12 * i) for i in range(count))


def missing_glyphs(text: str) -> str:
    """Return the characters of *text* that no typeface has."""
    return "".join(c for c in dict.fromkeys(_composed(text)) if not _typefaces(c))


def needs_shaping(text: str) -> bool:
    """Say whether *text* has letters that join, stack or run from right to left."""
    return any(
        unicodedata.bidirectional(char) in {*_RIGHT_TO_LEFT, "AN"}
        or unicodedata.category(char) in {"Mn", "Mc", "Me"}
        or char in JOINERS
        for char in _composed(text)
    )


def can_shape() -> bool:
    """Say whether letters can be joined here: Pillow's Raqm looks for the system's FriBiDi."""
    return features.check_feature("raqm") is True


def fitting_size(text: str, box: tuple[float, float], halo: float) -> float:
    """Return the font size in pixels at which *text* fills *box*, with *halo* (em) all around."""
    width, height = letters(text, REFERENCE_PX).size
    return min(
        box[0] / (width / REFERENCE_PX + 2 * halo), box[1] / (height / REFERENCE_PX + 2 * halo)
    )


def letters(text: str, size: float) -> Image.Image:
    """Return *text*, at a font size in pixels, as a mask (L) as large as its ink.

    Of a text without any ink, the mask is black.
    """
    left, top, right, bottom = _extent(text, size)
    mask = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    draw = ImageDraw.Draw(mask)
    at = 0.0
    for run, font in _runs(text, size):
        draw.text((at - left, -top), run, fill=255, font=font, anchor="ls")
        at += font.getlength(run)
    return mask.crop(mask.getbbox())


def _extent(text: str, size: float) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of ink and advance, from the origin on the baseline."""
    boxes = []
    at = 0.0
    for run, font in _runs(text, size):
        left, top, right, bottom = font.getbbox(run, anchor="ls")
        boxes.append((at + left, top, at + right, bottom))
        at += font.getlength(run)
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return int(min(lefts)) - 1, int(min(tops)), int(max(rights)) + 1, int(max(bottoms))


def _runs(text: str, size: float) -> list[tuple[str, FreeTypeFont]]:
    """Return *text* in pieces of one typeface each, from left to right.

    Where right-to-left letters come first, the pieces follow each other that way (UAX #9, P2);
    within a piece Raqm orders the letters. Text that needs no shaping is drawn without Raqm, so
    that it looks the same where there is none.
    """
    text = _composed(text)
    engine = Layout.RAQM if needs_shaping(text) else Layout.BASIC
    chosen: list[str] = []
    for char in text:
        having = _typefaces(char)
        # What joins its neighbours, or parts them, comes from the same typeface as they.
        joins = unicodedata.category(char)[0] in "MZ" or char in JOINERS
        chosen.append(chosen[-1] if joins and chosen and chosen[-1] in having else having[0])
    paired = groupby(zip(text, chosen, strict=True), key=lambda pair: pair[1])
    runs = [
        ("".join(char for char, _ in pairs), _font(typeface, size, engine))
        for typeface, pairs in paired
    ]
    strong = (unicodedata.bidirectional(char) for char in text)
    first = next((kind for kind in strong if kind in {"L", *_RIGHT_TO_LEFT}), "L")
    return runs if first == "L" else runs[::-1]


def _composed(text: str) -> str:
    """Return *text* with letters and accents as one character where there is one (UAX #15)."""
    return unicodedata.normalize("NFC", text)


def _typefaces(char: str) -> list[str]:
    """Return the typefaces that have *char*."""
    code = ord(char)
    found = []
    for typeface in TYPEFACES:
        known = ranges(typeface)
        place = bisect(known, (code, 0x10FFFF)) - 1
        if place >= 0 and known[place][0] <= code <= known[place][1]:
            found.append(typeface)
    return found


@lru_cache(maxsize=CACHED_FONTS)
def _font(typeface: str, size: float, engine: Layout) -> FreeTypeFont:
    return ImageFont.truetype(io.BytesIO(_data(typeface)), size, layout_engine=engine)


@lru_cache
def _data(typeface: str) -> bytes:
    folder = files("photo_pipeline.imaging").joinpath("typefaces")
    return folder.joinpath(typeface).read_bytes()
