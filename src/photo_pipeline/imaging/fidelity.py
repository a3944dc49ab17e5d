"""The fidelity receipt: does an encoded rendition look like its photo?

Both are shrunk to SMALL pixels, of which some bands of rows are compared, spread from the top
edge to the bottom edge: this is a check for the faults that happen to whole pictures (inverted,
turned, mirrored, in wrong colours, grey from some row on, black where it was transparent), at
some percent of what making the renditions costs. A JPEG with restart markers is decoded only
where the bands are; every other format is decoded whole.
"""

import io
import math
from collections.abc import Iterable
from typing import Final

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from photo_pipeline.domain.receipt import FidelityReceipt
from photo_pipeline.domain.stage import Box
from photo_pipeline.errors import PhotoPipelineError
from photo_pipeline.imaging.difference import Pixels, colour_difference, ssim
from photo_pipeline.imaging.header import only_our_errors, open_header
from photo_pipeline.imaging.modes import as_mode
from photo_pipeline.imaging.scale import fit
from photo_pipeline.imaging.strips import strips

SMALL: Final = 128
"""Longest side at which pictures are compared: an encoder's noise is averaged away."""
OVERSAMPLING: Final = 2
"""How many decoded pixels a small one takes at least on each side: fewer would alias."""
BANDS: Final = 5
BAND_ROWS: Final = 2
"""Rows of a band, of SMALL: five of two are a tenth of a 4:3 picture."""
WHOLE: Final[Box] = (0.0, 0.0, 1.0, 1.0)
SHAPE_TOLERANCE: Final = 0.02  # of the ratio of the sides; beside that, rounding to whole pixels
GAP: Final = 2.0  # average whole pixels down to twice the size first: BOX weighs them alike

NO_FILL: Final = "#ff00ff"
"""What both are laid on if the rendition has transparency: no fault fills with this colour."""
WHITE: Final = "#ffffff"

UNLIKE: Final = FidelityReceipt(ssim=-1.0, colour_difference=100.0)
"""Of what cannot be decoded, or has another shape: nothing can be compared."""


class Reference:
    """The colour-managed, upright picture (RGB or RGBA) that renditions are compared with.

    Keeps the picture, and the bands it was asked for: make one for all renditions of a photo.
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
            per_row = height / size[1]
            self._known[key] = _pixels(
                _shrunk(
                    self._image,
                    (left, top + per_row * start, left + width, top + per_row * (start + rows)),
                    (size[0], rows),
                    ground,
                )
                for start, rows in _bands(size[1])
            )
        return self._known[key]


def fidelity(
    data: bytes, reference: Reference, *, region: Box = WHOLE, background: str = WHITE
) -> FidelityReceipt:
    """Return how near the encoded rendition *data* is to *region* of *reference*.

    *background* is what transparent pixels were laid on if the rendition has none; of an
    animation the first frame counts. What cannot be decoded, or has other proportions, is UNLIKE.
    """
    try:
        with only_our_errors():
            _, image = open_header(io.BytesIO(data), None)
            if not _same_shape(image.size, reference.size(region)):
                return UNLIKE
            size = _small(image.size, reference.size(region))
            transparent = image.has_transparency_data
            ground = NO_FILL if transparent else background
            found = _decoded_bands(data, image, size, ground)
    except PhotoPipelineError:
        return UNLIKE
    wanted = reference.bands(size, region, ground)
    return FidelityReceipt(
        ssim=round(ssim(found, wanted), 4),
        # Every other pixel of a row: a mean needs no more, and colour costs most of the time.
        colour_difference=round(colour_difference(found[:, :, ::2], wanted[:, :, ::2]), 3),
    )


def _small(size: tuple[int, int], original: tuple[float, float]) -> tuple[int, int]:
    """Return the size at which to compare: the same for all large renditions of a picture."""
    width, height = round(original[0]), round(original[1])
    small = fit((max(1, width), max(1, height)), SMALL)
    if min(size[0] // small[0], size[1] // small[1]) >= OVERSAMPLING:
        return small
    return fit(size, max(1, max(size) // OVERSAMPLING))


def _same_shape(size: tuple[int, int], original: tuple[float, float]) -> bool:
    wide, high = size[0] * original[1], size[1] * original[0]
    return (
        abs(wide - high) <= SHAPE_TOLERANCE * max(wide, high)
        or abs(size[1] - wide / original[0]) <= 1
        or abs(size[0] - high / original[1]) <= 1
    )


def _bands(height: int) -> list[tuple[int, int]]:
    """Return first row and number of rows of each band of a small picture."""
    rows = min(BAND_ROWS, height)
    count = min(BANDS, -(-height // rows))
    last = height - rows
    return [(last * n // max(1, count - 1), rows) for n in range(count)]


def _decoded_bands(
    data: bytes, image: Image.Image, size: tuple[int, int], ground: str
) -> Pixels:
    """Return the bands of the encoded picture, decoding as little of it as its format allows."""
    width, height = image.size
    per_row = height / size[1]
    spans = [(per_row * top, per_row * (top + rows)) for top, rows in _bands(size[1])]
    scale = 1.0
    if isinstance(image, JpegImageFile):
        if cut := strips(data):
            chosen = sorted({n for span in spans for n in _covering(span, cut.height)})
            image = JpegImageFile(io.BytesIO(cut.joined(chosen)))
            spans = [_moved(span, chosen, cut.height) for span in spans]
        drafted = image.draft(None, _enough(image.size, width // (OVERSAMPLING * size[0])))
        scale = width / drafted[1][2] if drafted else 1.0
    return _pixels(
        _shrunk(image, (0, top / scale, width / scale, bottom / scale), (size[0], rows), ground)
        for (top, bottom), (_, rows) in zip(spans, _bands(size[1]), strict=True)
    )


def _covering(span: tuple[float, float], height: int) -> range:
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


def _shrunk(
    image: Image.Image,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    ground: str,
) -> Image.Image:
    """Return *box* of *image*, on *ground* where it is transparent, shrunk to *size*."""
    left, top = int(box[0]), int(box[1])
    right = min(image.width, math.ceil(box[2]))
    bottom = min(image.height, math.ceil(box[3]))
    part = _on(ground, image.crop((left, top, right, bottom)))
    inner = (box[0] - left, box[1] - top, min(box[2] - left, part.width),
             min(box[3] - top, part.height))  # fmt: skip
    return part.resize(size, Image.Resampling.BOX, box=inner, reducing_gap=GAP)


def _on(ground: str, image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return as_mode(image, "RGB")
    image = as_mode(image, "RGBA")
    flat = Image.new("RGB", image.size, ground)
    flat.paste(image, mask=image)
    return flat


def _pixels(bands: Iterable[Image.Image]) -> Pixels:
    return np.stack([np.asarray(band, np.float32) for band in bands])
