"""Measure how well a mark can be read on what lies around it."""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photo_pipeline.imaging.modes import is_transparent

FLARE: Final = 0.05
"""What WCAG adds to both luminances: light that a screen always reflects."""
MIDDLE: Final = sqrt((1 + FLARE) * FLARE) - FLARE
"""The luminance, 0.179, on which black and white contrast alike; also about the middle of L*."""
LEGIBLE_SHARE: Final = 0.8
"""Of the mark's pixels, this share has at least the contrast told: lost in one of five, a letter
is still read."""
SURROUNDINGS: Final = 1.0
"""Standard deviations by which the surroundings are taken nearer to the mark than their mean:
texture hides a mark as much as an even ground nearer to it would."""
MAX_MEASURED: Final = 65_536
"""Pixels of a mark's box that are looked at; a larger one is measured at a smaller size, where its
thick strokes remain. Bounds the time to some milliseconds."""
SOLID: Final = 192  # alpha from which a pixel is the mark
CLEAR: Final = 16  # alpha up to which a pixel is its surroundings
PAPER: Final = (255, 255, 255)  # below transparent pixels, as most pages have it

_SCALE: Final = 1 << 16  # luminances as whole numbers: sums are the same on every CPU
_WEIGHTS: Final = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709

Ints = NDArray[np.int64]


def _linear(value: int) -> float:
    """Return the linear light of an sRGB value (IEC 61966-2-1)."""
    share = value / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4  # noqa: PLR2004


_TABLES: Final[tuple[Ints, ...]] = tuple(
    np.array([round(weight * _SCALE * _linear(value)) for value in range(256)], np.int64)
    for weight in _WEIGHTS
)


@dataclass(frozen=True, slots=True, eq=False)
class Zones:
    """Which pixels of a mark's box are the mark, and which are around each of them."""

    reduced: int
    core: tuple[Any, ...]
    clear: Ints
    window: int
    around: Ints


def zones(mask: Image.Image, reach: int) -> Zones:
    """Prepare the measurement of a mark with the alpha *mask* (L).

    Around a pixel is what lies within *reach* pixels to each side and does not belong to the
    mark; pixels deep inside, with nothing around them, are not looked at.
    """
    reduced = max(1, ceil(sqrt(mask.width * mask.height / MAX_MEASURED)))
    alpha = np.asarray(mask.reduce(reduced))
    clear = (alpha <= CLEAR).astype(np.int64)
    window = max(2, round(reach / reduced))
    around = _sums(clear, window)
    core = np.nonzero((alpha >= SOLID) & (around > 0))
    return Zones(reduced, core, clear, window, around[core])


def luminance(picture: Image.Image) -> Ints:
    """Return the relative luminance (WCAG 2.2) of each pixel, in 65536ths."""
    red, green, blue = np.moveaxis(np.asarray(_opaque(picture)), 2, 0)
    lights: Ints = _TABLES[0][red] + _TABLES[1][green] + _TABLES[2][blue]
    return lights


def ground(picture: Image.Image, where: Zones) -> float:
    """Return the mean luminance, 0 to 1, of *picture* where the mark is going to be."""
    lights = luminance(picture.reduce(where.reduced))[where.core]
    return float(lights.sum() / max(1, lights.size) / _SCALE)


def contrasts(marked: Image.Image, where: Zones) -> NDArray[np.float64]:
    """Return the contrast ratio of each pixel of the mark to its surroundings, from 1 to 21.

    *marked* is the finished picture inside the mark's box. The ratio is that of WCAG 2.2, of
    relative luminances: (lighter + 0.05) / (darker + 0.05). The surroundings count with their
    mean, moved towards the mark by ``SURROUNDINGS`` standard deviations, though not past it.
    """
    lights = luminance(marked.reduce(where.reduced))
    shown = lights[where.core].astype(np.float64)
    clear = lights * where.clear
    mean = _sums(clear, where.window)[where.core] / where.around
    square = _sums(clear * lights, where.window)[where.core] / where.around
    spread = SURROUNDINGS * np.sqrt(np.maximum(0, square - mean * mean))
    beside = np.where(
        shown > mean, np.minimum(mean + spread, shown), np.maximum(mean - spread, shown)
    )
    flare = FLARE * _SCALE
    ratios: NDArray[np.float64] = (np.maximum(shown, beside) + flare) / (
        np.minimum(shown, beside) + flare
    )
    return ratios


def legible(ratios: NDArray[np.float64]) -> float:
    """Return the ratio that ``LEGIBLE_SHARE`` of *ratios* reach; 1 without any."""
    if not ratios.size:
        return 1.0
    place = int((1 - LEGIBLE_SHARE) * (ratios.size - 1))
    return float(np.partition(ratios, place)[place])


def _opaque(picture: Image.Image) -> Image.Image:
    if not is_transparent(picture):
        return picture.convert("RGB")
    paper = Image.new("RGB", picture.size, PAPER)
    paper.paste(picture, mask=picture)
    return paper


def _sums(values: Ints, reach: int) -> Ints:
    """Return, for each place, the sum of the square that reaches *reach* to each side of it."""
    height, width = values.shape
    table = np.zeros((height + 1, width + 1), np.int64)
    table[1:, 1:] = values.cumsum(0).cumsum(1)
    rows, columns = np.arange(height), np.arange(width)
    above, below = np.maximum(rows - reach, 0), np.minimum(rows + reach + 1, height)
    before, behind = np.maximum(columns - reach, 0), np.minimum(columns + reach + 1, width)
    summed: Ints = table[below] - table[above]
    return summed[:, behind] - summed[:, before]
