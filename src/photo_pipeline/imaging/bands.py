"""Some rows of a small version of a picture, as numbers: what pictures are compared by."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photo_pipeline.imaging.difference import Pixels
from photo_pipeline.imaging.modes import as_mode
from photo_pipeline.imaging.scale import fit

SMALL: Final = 128
"""Longest side at which pictures are compared: an encoder's noise is averaged away."""
LARGE: Final = 2 * SMALL
"""Longest side from which on that is so: a small pixel then takes two of the picture at least."""
TINY_PIXEL: Final = 8
"""How many pixels of a picture below that a small one takes on each side: a block of JPEG."""
OVERSAMPLING: Final = 2
"""How many decoded pixels a small one takes on each side: more would be decoded for nothing."""
BANDS: Final = 3
BAND_ROWS: Final = 2
"""Rows of a band, of SMALL: at the top edge, in the middle and at the bottom edge, together a
sixteenth of a 4:3 picture."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


def small_size(size: tuple[int, int], original: tuple[float, float]) -> tuple[int, int]:
    """Return the size at which to compare: the same for all large renditions of a picture."""
    if max(size) < LARGE:
        return fit(size, max(1, max(size) // TINY_PIXEL))
    small = fit((max(1, round(original[0])), max(1, round(original[1]))), SMALL)
    return min(small[0], size[0]), min(small[1], size[1])


def band_rows(height: int) -> list[tuple[int, int]]:
    """Return first row and number of rows of each band of a small picture."""
    rows = min(BAND_ROWS, height)
    count = min(BANDS, -(-height // rows))
    last = height - rows
    return [(last * n // max(1, count - 1), rows) for n in range(count)]


def averaged(image: Image.Image, boxes: Sequence[Box], size: tuple[int, int], ground: str) -> Pixels:
    """Return each of *boxes* of a picture, on *ground* where it is transparent, shrunk to *size*.

    The boxes have the same columns. Every small pixel is the mean of just the area that it
    covers, with parts of pixels at its edges: what a regular pattern becomes, depends on it.
    """
    return np.stack([_averaged(image, box, size, ground) for box in boxes])


def _averaged(image: Image.Image, box: Box, size: tuple[int, int], ground: str) -> Pixels:
    left, top = int(box[0]), int(box[1])
    right, bottom = min(image.width, math.ceil(box[2])), min(image.height, math.ceil(box[3]))
    part = np.asarray(_on(ground, image.crop((left, top, right, bottom))))
    down = _weights(box[1] - top, box[3] - top, size[1], bottom - top)
    across = _weights(box[0] - left, box[2] - left, size[0], right - left)
    rows = down @ part.reshape(bottom - top, -1).astype(np.float32)
    return across @ rows.reshape(size[1], right - left, 3)


@lru_cache(maxsize=32)
def _weights(start: float, end: float, cells: int, count: int) -> NDArray[np.float32]:
    """Return, for each of *cells* from *start* to *end*, the share of each of *count* pixels."""
    edges = np.linspace(start, end, cells + 1, dtype=np.float32)
    at = np.arange(count, dtype=np.float32)
    overlap = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    weights = np.maximum(overlap, 0)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def _on(ground: str, image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return as_mode(image, "RGB")
    image = as_mode(image, "RGBA")
    flat = Image.new("RGB", image.size, ground)
    flat.paste(image, mask=image)
    return flat
