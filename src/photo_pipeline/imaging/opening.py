"""Decode foreign bytes into an upright sRGB picture."""

import io
import warnings
from typing import Final

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from photo_pipeline.errors import EmptyFileError, UnreadableImageError, UnsupportedFormatError
from photo_pipeline.imaging import orientation
from photo_pipeline.imaging.colour import to_srgb
from photo_pipeline.imaging.header import only_our_errors, open_header
from photo_pipeline.imaging.modes import as_mode, plain
from photo_pipeline.imaging.scale import fit, shrink

DECODING_BYTES_PER_PIXEL: Final = 8
"""Pillow's pixels take 4, the decoder's planes or coefficients of a progressive JPEG 3 to 8."""

DCT_SCALES: Final = (2, 4, 8)
"""By which libjpeg shrinks while it decodes, and Pillow can ask it to."""
LEAST_SIDE: Final = 100
"""Pixels: then the last block, which the scale may cut through, is less than a percent."""


def open_upright(data: bytes, box: int | None = None, tolerance: float = 0.0) -> Image.Image:
    """Return the picture in *data* as people see it: upright, in sRGB, mode RGB or RGBA.

    With *box* the longest side is reduced to that many pixels (a smaller picture keeps its
    size), for JPEG already while decoding; the costly steps then work on few pixels. It may be
    smaller by the share *tolerance*, where a JPEG can be decoded at half the cost then. The mode
    is RGBA only if some pixel really is transparent. Of an animation, the first frame. The
    picture carries no metadata. Raises UnreadableImageError for anything that is not a whole
    image of a supported format, TooManyPixelsError above the limit set by ``limit_pixels``
    (Pillow's default without). MemoryError passes through.
    """
    source = _header(data)
    turn = orientation.orientation(source)
    stored = source.size
    with only_our_errors():
        try:
            size, region = _decode(source, box, tolerance)
        except Exception:
            _blame_memory_if_scarce(stored)
            raise
        image = plain(source)
    image = shrink(image, size, region)
    image = to_srgb(image, source.info.get("icc_profile"))
    if not isinstance(source, TiffImageFile):  # Pillow has turned a TIFF while decoding
        image = orientation.upright(image, turn)
    image = as_mode(image, "RGBA" if image.mode.endswith("A") else "RGB")
    image.info = {}
    return image


def displayed_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the picture in *data* as displayed, from its header.

    Raises the errors of ``open_upright``.
    """
    source = _header(data)
    return orientation.displayed_size(source, orientation.orientation(source))


def limit_pixels(count: int) -> None:
    """Refuse, in this process and from now on, images of more than *count* pixels.

    Covers also what Pillow checks itself inside a file (frames, tiles), where it would raise
    only at twice the limit and warn before.
    """
    Image.MAX_IMAGE_PIXELS = count
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def _header(data: bytes) -> ImageFile:
    """Return the undecoded image; a stage's input was accepted, so all else is damage."""
    try:
        _, source = open_header(io.BytesIO(data), Image.MAX_IMAGE_PIXELS)
    except (EmptyFileError, UnsupportedFormatError) as exc:
        raise UnreadableImageError(str(exc)) from exc
    return source


def _blame_memory_if_scarce(size: tuple[int, int]) -> None:
    """Raise MemoryError if there is not the memory that decoding *size* pixels takes.

    The libraries for WebP, AVIF and progressive JPEG report a failed allocation as damaged data.
    """
    bytes(size[0] * size[1] * DECODING_BYTES_PER_PIXEL)  # zeroed lazily: costs address space only


def _decode(
    source: ImageFile, box: int | None, tolerance: float
) -> tuple[tuple[int, int], tuple[float, float, float, float] | None]:
    """Decode in place; return the size to reach and the region of the pixels that shows."""
    if box is not None and isinstance(source, JpegImageFile):
        # The fitted size, not the square box: Pillow lets the shorter side decide. The result
        # is never smaller, and may have a partly filled last column that the region leaves out.
        size = fit(source.size, box)
        if scale := _near_enough(source.size, size, tolerance):
            size = source.width // scale, source.height // scale
        drafted = source.draft(None, size)
        source.load()
        # What is left of a last block that the scale cuts through is no pixel to resample for.
        return size, (0, 0, *size) if scale else drafted[1] if drafted else None
    source.load()  # first: only then the size of every TIFF is the displayed one
    return source.size if box is None else fit(source.size, box), None


def _near_enough(stored: tuple[int, int], size: tuple[int, int], tolerance: float) -> int | None:
    """Return the scale at which a JPEG decodes a little smaller than *size*, if there is one."""
    for scale in DCT_SCALES:
        near = size[0] * (1 - tolerance) <= stored[0] // scale < size[0]
        if near and min(stored) // scale >= LEAST_SIDE:
            return scale
    return None
