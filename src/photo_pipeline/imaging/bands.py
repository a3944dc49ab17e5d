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
THIN: Final = 16
"""Shortest side below which only the mean colour is compared: one block of a JPEG's colours."""
TINY_PIXEL: Final = 8
"""How many pixels of a picture below that a small one takes on each side: a block of JPEG."""
OVERSAMPLING: Final = 2
"""How many decoded pixels a small one takes on each side: more would be decoded for nothing."""
BANDS: Final = 3
BAND_ROWS: Final = 2
"""Rows of SMALL that a band is high: at the top edge, in the middle and at the bottom edge,
together a sixteenth of a 4:3 picture."""

AT_ONCE: Final = 1 << 18
"""Pixels up to which it costs less to take all of a picture than to cut parts out of it."""
CELL_SAMPLES: Final = 4
BAND_SAMPLES: Final = 8
"""What is finer is averaged first, by whole pixels: across a small pixel, and down a band."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


def small_size(size: tuple[int, int], original: tuple[float, float]) -> tuple[int, int]:
    """Return the size at which to compare: the same for all large renditions of a picture."""
    if min(size) < THIN:
        return 1, 1
    if max(size) < LARGE:
        return fit(size, max(1, max(size) // TINY_PIXEL))
    small = fit((max(1, round(original[0])), max(1, round(original[1]))), SMALL)
    return min(small[0], size[0]), min(small[1], size[1])


def band_spans(height: float, small: int) -> list[tuple[float, float]]:
    """Return first and last row of each band of a picture *height* pixels high."""
    rows = min(BAND_ROWS, small)
    count = min(BANDS, -(-small // rows))
    free = height * (small - rows) / small
    tops = [free * n / max(1, count - 1) for n in range(count)]
    return [(top, top + height * rows / small) for top in tops]


def averaged(image: Image.Image, boxes: Sequence[Box], width: int, ground: str) -> Pixels:
    """Return each of *boxes* of a picture, on *ground* where it is transparent, as a row.

    Every one of the *width* small pixels of a row is a mean, weighted by a Hann window that
    reaches into its neighbours and over the whole height: regular patterns, of which nothing
    is to be seen at this size, leave nothing behind by which two pictures could differ.
    """
    if image.width * image.height > AT_ONCE:
        return np.stack([_reduced(image, box, width, ground) for box in boxes])
    image.load()
    values = np.asarray(_on(ground, image))
    return np.stack([_averaged(values, box, width) for box in boxes])


def _averaged(values: NDArray[np.uint8], box: Box, width: int) -> Pixels:
    left, top = int(box[0]), int(box[1])
    part = values[top : math.ceil(box[3]), left : math.ceil(box[2])]
    high, wide = part.shape[:2]
    down = _weights(box[1] - top, box[3] - top, 1, high, 0.5)
    across = _weights(box[0] - left, box[2] - left, width, wide, 1.0)
    rows = down @ part.reshape(high, -1).astype(np.float32)
    return across @ rows.reshape(wide, 3)


def _reduced(image: Image.Image, box: Box, width: int, ground: str) -> Pixels:
    left, top = int(box[0]), int(box[1])
    right, bottom = min(image.width, math.ceil(box[2])), min(image.height, math.ceil(box[3]))
    part = _on(ground, image.crop((left, top, right, bottom)))
    wide, high = box[2] - box[0], box[3] - box[1]
    factors = max(1, int(wide / width / CELL_SAMPLES)), max(1, int(high / BAND_SAMPLES))
    if factors != (1, 1):
        part = part.reduce(factors)
    start, first = (box[0] - left) / factors[0], (box[1] - top) / factors[1]
    down = _weights(first, first + high / factors[1], 1, part.height, 0.5)
    across = _weights(start, start + wide / factors[0], width, part.width, 1.0)
    values = np.asarray(part).reshape(part.height, -1).astype(np.float32)
    return across @ (down @ values).reshape(part.width, 3)


@lru_cache(maxsize=32)
def _weights(start: float, end: float, cells: int, count: int, reach: float) -> NDArray[np.float32]:
    """Return, for each of *cells* from *start* to *end*, the weight of each of *count* pixels.

    *reach* is how far to each side of its middle a cell looks, in cells.
    """
    cell = (end - start) / cells
    middles = start + cell * (np.arange(cells)[:, None] + 0.5)
    edges = np.clip((np.arange(count + 1) - middles) / (cell * reach), -1, 1)
    weights = np.diff(edges + np.sin(np.pi * edges) / np.pi)  # the integral over each pixel
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def _on(ground: str, image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return as_mode(image, "RGB")
    image = as_mode(image, "RGBA")
    flat = Image.new("RGB", image.size, ground)
    flat.paste(image, mask=image)
    return flat
