"""Measure how well a mark can be read on what lies around it."""

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photo_pipeline.imaging.modes import as_mode, is_transparent

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
MAX_MEASURED: Final = 16_384
"""Pixels of a mark and its surroundings that are looked at; of larger ones every third, fifth and
so on (an odd number, lest of a fine pattern one side only is seen): half a millisecond."""
GLANCE: Final = 4  # the ground's mean is taken of a picture that many times smaller
SOLID: Final = 192  # alpha from which a pixel is the mark
CLEAR: Final = 16  # alpha up to which a pixel is its surroundings
DENSE: Final = 128  # alpha of a halo that parts the mark from the ground
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
    """Which pixels of a mark's box are the mark, which are around it, and in which cell each is.

    Pixels are counted row by row, cells likewise.
    """

    core: Ints
    core_cells: Ints
    clear: Ints
    clear_cells: Ints
    clear_counts: Ints


def zones(mask: Image.Image, halo: Image.Image, reach: int) -> Zones:
    """Prepare the measurement of a mark with the alpha *mask* (L).

    The box is divided into cells that are about as large as what lies within *reach* pixels of a
    pixel. What is around the mark there are the pixels without any of it that are nearest: those
    where its *halo* (L) is, or would be, dense. Cells without mark or without surroundings are
    not looked at.
    """
    alpha = np.asarray(mask)
    rows, columns = np.indices(alpha.shape) // (2 * reach + 1)
    cells = (rows * (columns.max() + 1) + columns).ravel()
    solid = alpha.ravel() >= SOLID
    free = (alpha.ravel() <= CLEAR) & (np.asarray(halo).ravel() >= DENSE)
    both = np.bincount(cells, solid) * np.bincount(cells, free) > 0
    core, clear = np.flatnonzero(solid & both[cells]), np.flatnonzero(free & both[cells])
    step = 2 * ((core.size + clear.size) // MAX_MEASURED) + 1
    core, clear = core[::step], clear[::step]
    counts = np.maximum(1, np.bincount(cells[clear], minlength=both.size))
    return Zones(core, cells[core], clear, cells[clear], counts)


def luminance(pixels: NDArray[np.uint8]) -> Ints:
    """Return the relative luminance (WCAG 2.2) of RGB *pixels*, in 65536ths."""
    lights: Ints = (
        _TABLES[0][pixels[..., 0]] + _TABLES[1][pixels[..., 1]] + _TABLES[2][pixels[..., 2]]
    )
    return lights


def ground(picture: Image.Image) -> float:
    """Return the mean luminance, 0 to 1, of *picture*: what a mark is going to be laid on."""
    lights = luminance(np.asarray(_opaque(picture).reduce(GLANCE)))
    return int(lights.sum()) / lights.size / _SCALE


def contrasts(marked: Image.Image, where: Zones) -> NDArray[np.float64]:
    """Return the contrast ratio of each pixel of the mark to its surroundings, from 1 to 21.

    *marked* is the finished picture inside the mark's box. The ratio is that of WCAG 2.2, of
    relative luminances: (lighter + 0.05) / (darker + 0.05). The surroundings count with their
    mean in the pixel's cell, moved towards the mark by ``SURROUNDINGS`` standard deviations,
    though not past it.
    """
    pixels = np.asarray(_opaque(marked)).reshape(-1, 3)
    shown = luminance(pixels.take(where.core, 0)).astype(np.float64)
    beside = luminance(pixels.take(where.clear, 0)).astype(np.float64)
    cells = where.clear_counts.size
    # Sums of whole numbers below 2**53: exact in any order.
    mean = np.bincount(where.clear_cells, beside, cells) / where.clear_counts
    square = np.bincount(where.clear_cells, beside * beside, cells) / where.clear_counts
    spread = SURROUNDINGS * np.sqrt(np.maximum(0, square - mean * mean))
    near, spread = mean[where.core_cells], spread[where.core_cells]
    near = np.where(
        shown > near, np.minimum(near + spread, shown), np.maximum(near - spread, shown)
    )
    flare = FLARE * _SCALE
    ratios: NDArray[np.float64] = (np.maximum(shown, near) + flare) / (
        np.minimum(shown, near) + flare
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
        return as_mode(picture, "RGB")
    paper = Image.new("RGB", picture.size, PAPER)
    paper.paste(picture, mask=picture)
    return paper
