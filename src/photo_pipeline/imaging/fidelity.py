"""The fidelity receipt: does an encoded rendition look like its photo?

Both are shrunk to a small size, of which some bands of rows are compared, down to the
bottom edge: this is a check for the faults that happen to whole pictures (inverted, turned,
mirrored, in wrong colours, grey from some row on, black where it was transparent), at some
percent of what making the renditions costs. A JPEG with restart markers is decoded only where
the bands are; every other format is decoded whole.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from photo_pipeline.domain.receipt import UNLIKE, FidelityReceipt
from photo_pipeline.domain.stage import Box
from photo_pipeline.errors import PhotoPipelineError
from photo_pipeline.imaging.bands import OVERSAMPLING, averaged, band_spans, small_size
from photo_pipeline.imaging.difference import Pixels, colour_difference, ssim
from photo_pipeline.imaging.header import only_our_errors, open_header
from photo_pipeline.imaging.strips import Strips, strips

WHOLE: Final[Box] = (0.0, 0.0, 1.0, 1.0)
SHAPE_TOLERANCE: Final = 0.02  # of the ratio of the sides; beside that, rounding to whole pixels
NO_FILL: Final = "#ff00ff"
"""What both are laid on if the rendition has transparency: no fault fills with this colour."""
WHITE: Final = "#ffffff"


class Reference:
    """The colour-managed, upright picture (RGB or RGBA) that renditions are compared with.

    Keeps the picture, which must not change, and the bands it was asked for: make one for all
    renditions of a photo.
    """

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self._known: dict[tuple[object, ...], Pixels] = {}

    def size(self, region: Box) -> tuple[float, float]:
        """Return width and height of *region* in pixels."""
        return region[2] * self._image.width, region[3] * self._image.height

    def bands(self, size: tuple[int, int], region: Box, ground: str) -> Pixels:
        """Return the bands of *region*, shrunk to *size* and laid on *ground*."""
        key = size, region, ground
        if key not in self._known:
            left, top = region[0] * self._image.width, region[1] * self._image.height
            width, height = self.size(region)
            boxes = [
                (left, top + first, left + width, top + last)
                for first, last in band_spans(height, size[1])
            ]
            self._known[key] = averaged(self._image, boxes, size[0], ground)
        return self._known[key]


@dataclass(frozen=True, slots=True)
class Made:
    """An encoded rendition, and what it should show.

    *region* of *reference*; *background* is what transparent pixels were laid on if the
    rendition has none.
    """

    data: bytes
    reference: Reference
    region: Box = WHOLE
    background: str = WHITE


def fidelity(renditions: Sequence[Made]) -> list[FidelityReceipt]:
    """Return, for each of *renditions*, how near it is to what it should show.

    Of an animation the first frame counts. What cannot be decoded, or has other proportions, is
    UNLIKE. All of a photo in one call cost half as much as one by one.
    """
    pairs = [_pair(made) for made in renditions]
    receipts = [UNLIKE] * len(pairs)
    for shape in {pair[0].shape for pair in pairs if pair}:
        chosen = [n for n, pair in enumerate(pairs) if pair and pair[0].shape == shape]
        found, wanted = (
            np.stack([pair[side] for n in chosen if (pair := pairs[n])]) for side in (0, 1)
        )
        colours = colour_difference(found, wanted)
        for n, structure, colour in zip(chosen, ssim(found, wanted), colours, strict=True):
            receipts[n] = FidelityReceipt(
                ssim=round(float(structure), 4) if found.shape[-2] > 1 else None,
                colour_difference=round(float(colour), 3),
            )
    return receipts


def _pair(made: Made) -> tuple[Pixels, Pixels] | None:
    """Return what a rendition shows and what it should show; None if they cannot be compared."""
    original = made.reference.size(made.region)
    try:
        with only_our_errors():
            cut = strips(made.data)
            source: Strips | Image.Image = cut or open_header(io.BytesIO(made.data), None)[1]
            if not _same_shape(source.size, original):
                return None
            size = small_size(source.size, original)
            transparent = isinstance(source, Image.Image) and source.has_transparency_data
            ground = NO_FILL if transparent else made.background
            found = _bands(source, size, ground)
    except PhotoPipelineError:
        return None
    return found, made.reference.bands(size, made.region, ground)


def _same_shape(size: tuple[int, int], original: tuple[float, float]) -> bool:
    wide, high = size[0] * original[1], size[1] * original[0]
    return (
        abs(wide - high) <= SHAPE_TOLERANCE * max(wide, high)
        or abs(size[1] - wide / original[0]) <= 1
        or abs(size[0] - high / original[1]) <= 1
    )


def _bands(source: Strips | Image.Image, size: tuple[int, int], ground: str) -> Pixels:
    """Return the bands of an encoded picture, decoding as little of it as its format allows."""
    width, height = source.size
    spans = band_spans(height, size[1])
    if isinstance(source, Strips):
        chosen = sorted({n for span in spans for n in _touched(span, source.height)})
        spans = [_moved(span, chosen, source.height) for span in spans]
        source = JpegImageFile(io.BytesIO(source.joined(chosen)))
    scale = 1.0
    if isinstance(source, JpegImageFile):
        drafted = source.draft("RGB", _enough(source.size, width // (OVERSAMPLING * size[0])))
        scale = width / drafted[1][2] if drafted else 1.0
    boxes = [(0.0, top / scale, width / scale, bottom / scale) for top, bottom in spans]
    return averaged(source, boxes, size[0], ground)


def _touched(span: tuple[float, float], height: int) -> range:
    """Return the numbers of the strips, each *height* pixels high, that *span* touches."""
    return range(int(span[0] // height), math.ceil(span[1] / height))


def _moved(span: tuple[float, float], chosen: list[int], height: int) -> tuple[float, float]:
    """Return where *span* is when only the *chosen* strips are left."""
    first = int(span[0] // height)
    up = (first - chosen.index(first)) * height
    return span[0] - up, span[1] - up


def _enough(size: tuple[int, int], scale: int) -> tuple[int, int]:
    """Return a size that makes a JPEG decode at 1/8, 1/4, 1/2 or 1/1, not below 1/*scale*."""
    power = max(n for n in (1, 2, 4, 8) if n <= max(1, scale))
    return max(1, size[0] // power), max(1, size[1] // power)
