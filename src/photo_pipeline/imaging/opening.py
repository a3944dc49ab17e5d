"""Decode foreign bytes into an upright sRGB picture."""

import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from photo_pipeline.domain.stage import Note
from photo_pipeline.errors import (
    PhotoPipelineError,
    UnreadableImageError,
)
from photo_pipeline.imaging import orientation
from photo_pipeline.imaging.colour import is_usable, to_srgb
from photo_pipeline.imaging.header import only_our_errors, reopened
from photo_pipeline.imaging.modes import as_mode, plain
from photo_pipeline.imaging.scale import fit, shrink
from photo_pipeline.imaging.sniff import HEAD_BYTES, sniff
from photo_pipeline.imaging.wholeness import END, SMALL, is_whole, may_be_filled

DECODING_BYTES_PER_PIXEL: Final = 8
"""Pillow's pixels take 4, the decoder's planes or coefficients of a progressive JPEG 3 to 8."""

DCT_SCALES: Final = (2, 4, 8)
"""By which libjpeg shrinks while it decodes, and Pillow can ask it to."""
LEAST_SIDE: Final = 100
"""Pixels: then the last block, which the scale may cut through, is less than a percent."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A picture, and what was done otherwise than its file asks."""

    image: Image.Image
    notes: tuple[Note, ...]


def open_noted(data: bytes, box: int | None = None, tolerance: float = 0.0) -> Opened:
    """Return what ``open_upright`` does of somebody's upload, with notes.

    With *tolerance* the longest side may be smaller by that share than *box*, where a JPEG can
    be decoded at half the cost then. A file that was cut is refused, even where its decoder
    fills what is missing, unless only its end is missing and every pixel is there.
    """
    notes: list[Note] = []
    try:
        image = _open(data, box, tolerance, notes, doubtful=True)
    except UnreadableImageError:
        if not _lacks_only_its_end(data):
            raise
        notes = [Note("truncated_accepted", "The file lacks its end, but no pixel.")]
        image = _open(data.rstrip(b"\xff") + END, box, tolerance, notes, doubtful=False)
    return Opened(image, tuple(notes))


def open_upright(data: bytes, box: int | None = None) -> Image.Image:
    """Return the picture in *data* as people see it: upright, in sRGB, mode RGB or RGBA.

    With *box* the longest side is reduced to that many pixels (a smaller picture keeps its
    size), for JPEG already while decoding; the costly steps then work on few pixels. The mode
    is RGBA only if some pixel really is transparent. Of an animation, the first frame. The
    picture carries no metadata. Raises UnreadableImageError for anything that is not a whole
    image of a supported format, TooManyPixelsError above the limit set by ``limit_pixels``
    (Pillow's default without). MemoryError passes through.
    """
    return _open(data, box, 0.0, [], doubtful=False)


def _open(
    data: bytes, box: int | None, tolerance: float, notes: list[Note], *, doubtful: bool
) -> Image.Image:
    source = reopened(data)
    turn = orientation.orientation(source)
    stored = source.size
    with only_our_errors():
        try:
            size, region = _decode(source, box, tolerance)
        except Exception:
            _blame_memory_if_scarce(stored)
            raise
        if doubtful and isinstance(source, JpegImageFile):
            scale = max(1, round(stored[0] / source.width))
            if may_be_filled(source, scale) and not is_whole(data, SMALL):
                raise UnreadableImageError("The image cannot be read: it was cut")
        image = plain(source)
    image = shrink(image, size, region)
    profile = source.info.get("icc_profile")
    if profile and not is_usable(profile, image.mode):
        notes.append(Note("profile_ignored", "The colour profile is broken or of another kind."))
    image = to_srgb(image, profile)
    if not isinstance(source, TiffImageFile):  # Pillow has turned a TIFF while decoding
        image = orientation.upright(image, turn)
    image = as_mode(image, "RGBA" if image.mode.endswith("A") else "RGB")
    image.info = {}
    return image


def _lacks_only_its_end(data: bytes) -> bool:
    with suppress(PhotoPipelineError), only_our_errors():
        return sniff(data[:HEAD_BYTES]) == "jpeg" and is_whole(data)
    return False


def displayed_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the picture in *data* as displayed, from its header.

    Raises the errors of ``open_upright``.
    """
    source = reopened(data)
    return orientation.displayed_size(source, orientation.orientation(source))


def limit_pixels(count: int) -> None:
    """Refuse, in this process and from now on, images of more than *count* pixels.

    Covers also what Pillow checks itself inside a file (frames, tiles), where it would raise
    only at twice the limit and warn before.
    """
    Image.MAX_IMAGE_PIXELS = count
    warnings.simplefilter("error", Image.DecompressionBombWarning)


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
