"""Where people look first, measured without knowing what is shown."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from photo_pipeline.imaging.scale import fit

SIDE: Final = 64
"""Longest side in pixels of what is measured: a subject is a matter of shapes, not of detail."""
BLUR_PX: Final = 1.5  # at that size: single pixels are grain
SPECTRUM_PX: Final = 3  # neighbours over which the spectrum is averaged, as in the paper
CENTRE_WEIGHT: Final = 0.4
"""How much less the edge counts than the centre: photographers put the subject there more often
than not (Judd et al., "Learning to predict where humans look", ICCV 2009)."""

Map = NDArray[np.float64]


def saliency(image: Image.Image) -> Map:
    """Return how much each spot of *image* (RGB or RGBA) draws the eye: rows of shares, sum 1.

    The sum of two measures: how far a colour is from the picture's mean (Achanta et al.,
    "Frequency-tuned salient region detection", CVPR 2009), and what of the spectrum is not as
    in every picture (Hou and Zhang, "Saliency detection: a spectral residual approach", CVPR
    2007). Transparent pixels draw nobody. At most 64 px a side.
    """
    small = image.resize(fit(image.size, SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    shown = np.ones(small.size[::-1])
    if small.mode == "RGBA":
        shown = np.asarray(small.getchannel("A"), np.float64) / 255
        ground = Image.new("RGB", small.size, _mean_colour(small, shown))
        ground.paste(small, mask=small)
        small = ground
    blurred = np.asarray(small.filter(ImageFilter.GaussianBlur(BLUR_PX)), np.float64)
    found = _scaled(_unusual_colour(blurred)) + _scaled(_unusual_structure(blurred.mean(axis=2)))
    # Squared: one thing that stands out counts for more than much that does a little.
    found = (found * shown * _towards_centre(*found.shape)) ** 2
    total = found.sum()
    return found / total if total > 0 else np.full(found.shape, 1 / found.size)


def _mean_colour(small: Image.Image, shown: Map) -> tuple[int, ...]:
    pixels = np.asarray(small.convert("RGB"), np.float64).reshape(-1, 3)
    weights = shown.reshape(-1)
    total = weights.sum()
    mean = (pixels * weights[:, None]).sum(axis=0) / total if total else pixels.mean(axis=0)
    return tuple(int(value) for value in mean)


def _unusual_colour(pixels: Map) -> Map:
    difference = pixels - pixels.mean(axis=(0, 1))
    return np.asarray(np.sqrt((difference**2).sum(axis=2)))


def _unusual_structure(luma: Map) -> Map:
    spectrum = np.fft.fft2(luma)
    amplitude = np.log(np.abs(spectrum) + 1e-9)
    residual = amplitude - _averaged(amplitude)
    power = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    return _averaged(_averaged(power))


def _averaged(values: Map) -> Map:
    """Return the mean over each value's neighbours, around the edges of the array."""
    reach = SPECTRUM_PX // 2
    for axis in (0, 1):
        values = np.mean([np.roll(values, n, axis) for n in range(-reach, reach + 1)], axis=0)
    return values


def _scaled(values: Map) -> Map:
    """Return *values* from 0 to 1; what is the same everywhere says nothing."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high - low > 1e-6 else np.zeros_like(values)  # noqa: PLR2004  # rounding


def _towards_centre(rows: int, columns: int) -> Map:
    down, across = (
        1 - CENTRE_WEIGHT * np.abs((np.arange(count) + 0.5) / count * 2 - 1) ** 2
        for count in (rows, columns)
    )
    return np.asarray(down[:, None] * across[None, :])
