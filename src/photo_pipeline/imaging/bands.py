"""Some rows of a small version of a picture, as numbers: what pictures are compared by."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
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
"""At the top edge, in the middle and at the bottom edge."""
FEW_ROWS: Final = 32
"""Small rows above which the top edge is left out: what happens to a picture from some row on is
at the bottom as well, and the means are of enough pixels."""
BAND_ROWS: Final = 1.5
"""Small rows that a band is high: two are a thirtieth of a 4:3 picture. With one row or two,
drawn lines of some pixels came through as differences."""
SAMPLES: Final = 4
"""Of which a small pixel's mean is made, on each side."""
_EDGES: Final = np.linspace(-1, 1, 2 * SAMPLES + 1)
HANN: Final = (
    (np.diff(_EDGES + np.sin(np.pi * _EDGES) / np.pi) / 2).reshape(2, SAMPLES).astype(np.float32)
)
"""Weights of the samples left and right of a small pixel's middle: they reach into its
neighbours. The same for all sizes: to make them for each would cost more than to use them."""

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
    high = min(height, height * BAND_ROWS / small)
    count = min(BANDS, small)
    tops = [(height - high) * n / max(1, count - 1) for n in range(count)]
    if small > FEW_ROWS:
        tops = tops[1:]
    return [(top, top + high) for top in tops]


def averaged(image: Image.Image, boxes: Sequence[Box], width: int, ground: str) -> Pixels:
    """Return each of *boxes* of a picture, on *ground* where it is transparent, as a row.

    Every one of the *width* small pixels of a row is a mean, weighted by a Hann window: regular
    patterns, of which nothing is to be seen at this size, leave next to nothing behind by which
    two pictures could differ.
    """
    image.load()
    sampled = b"".join(_sampled(image, box, SAMPLES * width, ground) for box in boxes)
    samples = np.frombuffer(sampled, np.uint8).reshape(len(boxes), SAMPLES * width, 3)
    edge = SAMPLES // 2
    samples = np.concatenate((samples[:, :edge], samples, samples[:, -edge:]), axis=1)
    halves = HANN @ samples.reshape(len(boxes), width + 1, SAMPLES, 3)
    return halves[:, :-1, 0] + halves[:, 1:, 1]


def _sampled(image: Image.Image, box: Box, count: int, ground: str) -> bytes:
    """Return *count* means of the whole height of a box, as RGB."""
    left, top = int(box[0]), int(box[1])
    right, bottom = min(image.width, math.ceil(box[2])), min(image.height, math.ceil(box[3]))
    # Cut out first: what is averaged would reach over the edges of a box.
    part = _on(ground, image.crop((left, top, right, bottom)))
    inside = box[0] - left, box[1] - top, min(box[2], right) - left, min(box[3], bottom) - top
    return part.resize((count, 1), Image.Resampling.BOX, inside).tobytes()


def _on(ground: str, image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return as_mode(image, "RGB")
    image = as_mode(image, "RGBA")
    flat = Image.new("RGB", image.size, ground)
    flat.paste(image, mask=image)
    return flat
