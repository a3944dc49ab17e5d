"""Photos out of nothing: for loads that need many different ones."""

import io
from typing import Final, Protocol

from PIL import Image, ImageDraw

from photo_pipeline.domain.formats import FORMATS

SIDES: Final = (320, 1600)
"""Shortest and longest side in pixels: small enough for hundreds of photos a minute, and on both
sides of what the default preset shrinks."""
QUALITY: Final = 85
GRAIN: Final = 16  # pixels a side of one spot of texture: like a photo's, it survives shrinking
SHAPES: Final = 12


class Chance(Protocol):
    """Where the numbers come from, as a ``random.Random`` that knows its seed."""

    def randint(self, a: int, b: int) -> int:
        """Return a number from *a* to *b*, both included."""

    def randrange(self, start: int) -> int:
        """Return a number from 0 up to, not including, *start*."""

    def randbytes(self, n: int) -> bytes:
        """Return *n* bytes."""


def synthetic_jpeg(chance: Chance) -> bytes:
    """Return a JPEG with colours, edges and texture; always the same for the same *chance*."""
    size = chance.randint(*SIDES), chance.randint(*SIDES)
    spots = size[0] // GRAIN, size[1] // GRAIN
    texture = Image.frombytes("RGB", spots, chance.randbytes(3 * spots[0] * spots[1]))
    image = texture.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(SHAPES):
        left, right = sorted((chance.randrange(size[0]), chance.randrange(size[0])))
        top, bottom = sorted((chance.randrange(size[1]), chance.randrange(size[1])))
        red, green, blue = chance.randbytes(3)
        draw.ellipse((left, top, right, bottom), fill=(red, green, blue))
    out = io.BytesIO()
    image.save(out, FORMATS["jpeg"].pillow, quality=QUALITY)
    return out.getvalue()
