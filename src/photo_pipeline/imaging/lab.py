"""CIELAB, in which distances are about as large as they look (ISO/CIE 11664-4, D65)."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.uint8]
Lab = NDArray[np.float64]

_CODES: Final = np.arange(256) / 255
_KNEE_CODED, _KNEE_LINEAR = 0.04045, 0.0031308
_LINEAR: Final = np.where(_CODES <= _KNEE_CODED, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4)
"""sRGB to linear light (IEC 61966-2-1)."""
_TO_XYZ: Final = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
"""The same standard. White becomes the sum of each row, by which all is divided."""
_WHITE: Final = _TO_XYZ.sum(1)
_KNEE: Final = 6 / 29


def to_lab(pixels: Levels) -> Lab:
    """Return lightness (0 to 100), a and b for rows of sRGB."""
    ratio = _LINEAR[pixels] @ _TO_XYZ.T / _WHITE
    x, y, z = np.where(ratio > _KNEE**3, np.cbrt(ratio), ratio / (3 * _KNEE**2) + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def from_lab(lab: NDArray[Any]) -> Levels:
    """Return the nearest sRGB for rows of CIELAB; what sRGB cannot show is cut off."""
    lightness, a, b = np.asarray(lab, np.float64).T
    y = (lightness + 16) / 116
    roots = np.stack([y + a / 500, y, y - b / 200], 1)
    ratio = np.where(roots > _KNEE, roots**3, 3 * _KNEE**2 * (roots - 4 / 29))
    linear = np.clip((ratio * _WHITE) @ np.linalg.inv(_TO_XYZ).T, 0, 1)
    curved = 1.055 * linear ** (1 / 2.4) - 0.055
    coded: Lab = np.where(linear <= _KNEE_LINEAR, linear * 12.92, curved)
    return np.rint(coded * 255).astype(np.uint8)
