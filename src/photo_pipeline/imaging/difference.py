"""How far two small pictures are apart: structure (SSIM) and colour (CIEDE2000)."""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
"""Bands of pictures: (…, band, column, channel), sRGB from 0 to 255."""
Numbers = NDArray[np.float32]
"""One for each picture."""

WINDOW: Final = 16
"""Pixels of a window, which is a piece of a row: bands are too low for Wang's squares."""
STEP: Final = 8
LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. ITU-R BT.601
C1: Final = (0.01 * 255) ** 2
C2: Final = (0.03 * 255) ** 2

_LEVELS: Final = np.arange(1024, dtype=np.float64) / 1023
_LINEAR: Final[NDArray[np.float32]] = np.where(
    _LEVELS <= 0.04045,  # noqa: PLR2004  # of the standard
    _LEVELS / 12.92,
    ((_LEVELS + 0.055) / 1.055) ** 2.4,
).astype(np.float32)
"""sRGB to linear light (IEC 61966-2-1), in steps of a quarter of an 8-bit one."""
_TO_XYZ: Final = (
    np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    / np.array([[0.95047], [1.0], [1.08883]])
).T.astype(np.float32)
"""Relative to the white point D65."""


def ssim(one: Pixels, other: Pixels) -> Numbers:
    """Return the mean structural similarity of the lumas of each picture, 1 for equal.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity" (2004), with uniform windows.
    """
    x, y = one @ LUMA, other @ LUMA
    products = np.stack((x, y, x * x, y * y, x * y))  # all five means in one go
    sums = products[..., _windows(one.shape[-2])].mean(-1)
    mean_x, mean_y = sums[0], sums[1]
    variance_x, variance_y = sums[2] - mean_x**2, sums[3] - mean_y**2
    covariance = sums[4] - mean_x * mean_y
    similar = ((2 * mean_x * mean_y + C1) * (2 * covariance + C2)) / (
        (mean_x**2 + mean_y**2 + C1) * (variance_x + variance_y + C2)
    )
    return np.asarray(similar.mean((-2, -1)))


def colour_difference(one: Pixels, other: Pixels) -> Numbers:
    """Return the mean CIEDE2000 (ISO/CIE 11664-6:2014) of each picture, 0 for equal.

    Of the mean colours of the windows: grain, which JPEG keeps little of, is no colour.
    """
    columns = _windows(one.shape[-2])
    first, second = (pixels[..., columns, :].mean(-2) for pixels in (one, other))
    difference = _ciede2000(_lab(first), _lab(second))
    return np.asarray(difference.reshape(*first.shape[:-3], -1).mean(-1))


@lru_cache(maxsize=8)
def _windows(width: int) -> NDArray[np.intp]:
    """Return the columns of each window of a row of *width* pixels."""
    size = min(WINDOW, width)
    starts = np.unique(np.append(np.arange(0, width - size + 1, STEP), width - size))
    return np.asarray(starts[:, None] + np.arange(size), np.intp)


def _lab(pixels: Pixels) -> Pixels:
    """Return CIELAB; in float32 and for mean colours, which lie between the 8-bit levels.

    ``lab.py`` converts whole levels in float64, so that palettes are the same everywhere; this
    runs for every rendition and wants to be quick.
    """
    linear = _LINEAR[np.rint(pixels.reshape(-1, 3) * np.float32(1023 / 255)).astype(np.intp)]
    xyz = linear @ _TO_XYZ
    curved = np.where(xyz > 216 / 24389, np.cbrt(xyz), xyz * (841 / 108) + 4 / 29)
    x, y, z = curved.T
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)))


def _ciede2000(one: Pixels, other: Pixels) -> Pixels:
    """Return the difference of each pixel; the names are those of the standard."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    g = _chroma_weight((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2)
    a1, a2 = a1 * (1.5 - g / 2), a2 * (1.5 - g / 2)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.arctan2(b1, a1), np.arctan2(b2, a2)
    dh = (h2 - h1 + np.pi) % (2 * np.pi) - np.pi
    h = np.where((c1 > 0) & (c2 > 0), h1 + dh / 2, h1 + h2)  # a grey has no hue
    dh = 2 * np.sqrt(c1 * c2) * np.sin(dh / 2)
    c, lightness = (c1 + c2) / 2, ((l1 + l2) / 2 - 50) ** 2
    t = (
        1
        - 0.17 * np.cos(h - np.pi / 6)
        + 0.24 * np.cos(2 * h)
        + 0.32 * np.cos(3 * h + np.pi / 30)
        - 0.20 * np.cos(4 * h - 63 * np.pi / 180)
    )
    dl = (l2 - l1) / (1 + 0.015 * lightness / np.sqrt(20 + lightness))
    dc = (c2 - c1) / (1 + 0.045 * c)
    dh = dh / (1 + 0.015 * c * t)
    around_blue = (np.degrees(h) % 360 - 275) / 25
    turn = -2 * _chroma_weight(c) * np.sin(np.pi / 3 * np.exp(-(around_blue**2)))
    return np.asarray(np.sqrt(np.maximum(dl**2 + dc**2 + dh**2 + turn * dc * dh, 0)))


def _chroma_weight(chroma: Pixels) -> Pixels:
    seventh = chroma**7
    return np.asarray(np.sqrt(seventh / (seventh + 25.0**7)))
