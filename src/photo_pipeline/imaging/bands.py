"""Some rows of a small version of a picture, as numbers: what pictures are compared by."""

import math
from collections.abc import Iterable, Sequence
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
OVERSAMPLING: Final = 2
"""How many decoded pixels a small one takes at least on each side: fewer would alias."""
BANDS: Final = 3
BAND_ROWS: Final = 2
"""Rows of a band, of SMALL: at the top edge, in the middle and at the bottom edge, together a
sixteenth of a 4:3 picture."""
GAP: Final = 2.0  # average whole pixels down to twice the size first: BOX weighs them alike


def small_size(size: tuple[int, int], original: tuple[float, float]) -> tuple[int, int]:
    """Return the size at which to compare: the same for all large renditions of a picture."""
    width, height = round(original[0]), round(original[1])
    small = fit((max(1, width), max(1, height)), SMALL)
    if min(size[0] // small[0], size[1] // small[1]) >= OVERSAMPLING:
        return small
    return fit(size, max(1, max(size) // OVERSAMPLING))


def band_rows(height: int) -> list[tuple[int, int]]:
    """Return first row and number of rows of each band of a small picture."""
    rows = min(BAND_ROWS, height)
    count = min(BANDS, -(-height // rows))
    last = height - rows
    return [(last * n // max(1, count - 1), rows) for n in range(count)]


def averaged(
    image: Image.Image, spans: Sequence[tuple[float, float]], width: float, size: tuple[int, int]
) -> Pixels:
    """Return each of *spans* (first and last row) of a decoded RGB picture, shrunk to *size*.

    Every small pixel is the mean of the area that it covers, with parts of pixels at its edges.
    Of the columns the first *width* count: behind them may be what fills up a JPEG's last block.
    """
    high, wide = size[1], size[0]
    edges = np.array([np.linspace(top, bottom, high + 1) for top, bottom in spans], np.float32)
    down = _weights(edges[:, :-1].ravel(), edges[:, 1:].ravel(), image.height)
    rows = (down @ np.asarray(image).reshape(image.height, -1)).reshape(-1, image.width, 3)
    small = _columns(image.width, width, wide) @ rows
    return small.reshape(len(spans), high, wide, 3)


@lru_cache(maxsize=16)
def _columns(pixels_: int, width: float, wide: int) -> NDArray[np.float32]:
    edges = np.linspace(0, width, wide + 1, dtype=np.float32)
    return _weights(edges[:-1], edges[1:], pixels_)


def _weights(
    starts: NDArray[np.float32], ends: NDArray[np.float32], count: int
) -> NDArray[np.float32]:
    """Return, for each stretch, the share that each of *count* pixels has in it."""
    at = np.arange(count, dtype=np.float32)
    overlap = np.minimum(ends[:, None], at + 1) - np.maximum(starts[:, None], at)
    weights = np.maximum(overlap, 0)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def shrunk(
    image: Image.Image,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    ground: str,
) -> Image.Image:
    """Return *box* of *image* as RGB, on *ground* where it is transparent, shrunk to *size*."""
    if image.mode != "RGB" or image.has_transparency_data:
        left, top = int(box[0]), int(box[1])
        right = min(image.width, math.ceil(box[2]))
        bottom = min(image.height, math.ceil(box[3]))
        image = _on(ground, image.crop((left, top, right, bottom)))
        box = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    inside = (box[0], box[1], min(box[2], image.width), min(box[3], image.height))
    return image.resize(size, Image.Resampling.BOX, box=inside, reducing_gap=GAP)


def _on(ground: str, image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return as_mode(image, "RGB")
    image = as_mode(image, "RGBA")
    flat = Image.new("RGB", image.size, ground)
    flat.paste(image, mask=image)
    return flat


def pixels(bands: Iterable[Image.Image]) -> Pixels:
    """Return bands of one size as numbers."""
    return np.stack([np.asarray(band) for band in bands]).astype(np.float32)
