"""Read an image's header: one plug-in of Pillow, never a pixel, only our own errors."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, Final

import pi_heif.options
from pi_heif import HeifImageFile
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from photo_pipeline.errors import (
    EmptyFileError,
    PhotoPipelineError,
    TooManyPixelsError,
    UnreadableImageError,
    UnsupportedFormatError,
)
from photo_pipeline.imaging.sniff import HEAD_BYTES, sniff

OPENERS: Final[dict[str, Callable[[IO[bytes]], ImageFile]]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "webp": WebPImageFile,
    "gif": GifImageFile,
    "tiff": TiffImageFile,
    "bmp": BmpImageFile,
    "avif": AvifImageFile,
    "heic": HeifImageFile,
    "jpeg2000": Jpeg2KImageFile,
}
"""The classes themselves, not ``Image.open``: no other plug-in can be reached, a phone's
multi-picture JPEG is its first picture, and the pixel limit is ours alone, without the
warning that ``Image.open`` gives at one limit and the error at twice that limit."""

# One photo, one core; and of a HEIC nothing but its picture.
pi_heif.options.DECODE_THREADS = 1
pi_heif.options.THUMBNAILS = False
pi_heif.options.DEPTH_IMAGES = False
pi_heif.options.AUX_IMAGES = False


@contextmanager
def only_our_errors() -> Iterator[None]:
    """Turn whatever Pillow raises over foreign bytes into UnreadableImageError.

    Pixel bombs that Pillow itself finds become TooManyPixelsError. MemoryError passes: how much
    memory there is says nothing about the image.
    """
    try:
        yield
    except (MemoryError, PhotoPipelineError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise TooManyPixelsError(str(exc)) from exc
    except Exception as exc:
        # The plug-ins raise what their parsers happen to raise: SyntaxError, struct.error,
        # KeyError, OverflowError, AssertionError... A list of them would never be complete.
        msg = f"The image cannot be read: {exc}"
        raise UnreadableImageError(msg) from exc


def open_header(source: BinaryIO, max_pixels: int | None) -> tuple[str, ImageFile]:
    """Return the format key and Pillow's not yet decoded image.

    *source* is seekable and stays in use by the image. Raises EmptyFileError,
    UnsupportedFormatError, UnreadableImageError for a broken header and TooManyPixelsError
    above *max_pixels* (None: no limit).
    """
    source.seek(0)
    name = sniff(source.read(HEAD_BYTES))
    source.seek(0)
    with only_our_errors():
        image = OPENERS[name](source)
    width, height = image.size
    if max_pixels is not None and width * height > max_pixels:
        msg = f"{width} x {height} are {width * height} pixels; at most {max_pixels} are allowed."
        raise TooManyPixelsError(msg)
    return name, image


def reopened(data: bytes) -> ImageFile:
    """Return the undecoded image in *data*, which was accepted: so all that is wrong is damage.

    Raises UnreadableImageError, and TooManyPixelsError above this process's limit.
    """
    try:
        _, source = open_header(io.BytesIO(data), Image.MAX_IMAGE_PIXELS)
    except (EmptyFileError, UnsupportedFormatError) as exc:
        raise UnreadableImageError(str(exc)) from exc
    return source
