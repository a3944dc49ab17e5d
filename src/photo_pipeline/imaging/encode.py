"""Write pictures: the same bytes for the same pixels, and no metadata but what is asked for."""

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from PIL import Image

from photo_pipeline.domain.encoding import AUTO, MAX_EFFORT, Encoding
from photo_pipeline.domain.formats import FORMATS
from photo_pipeline.domain.stage import Picture
from photo_pipeline.imaging.animation import Frames
from photo_pipeline.imaging.metadata import save_options
from photo_pipeline.imaging.modes import as_mode, is_transparent
from photo_pipeline.imaging.sniff import HEAD_BYTES, sniff

QUALITY: Final = {"jpeg": 82, "webp": 82, "avif": 60}

SMALL_JPEG: Final = 5
"""Effort from which a JPEG's Huffman tables are its own: twice the time for 4 % of the bytes."""
PNG_LEVEL: Final = 2
"""Against zlib's usual 6: a fifth of the time for a fifth more bytes (photo with alpha)."""
WEBP_METHOD: Final = 2
"""Against libwebp's usual 4: 40 % of the time for 3 % more bytes."""
MAX_WEBP_METHOD: Final = 6
AVIF_SPEED: Final = 9
"""Against libavif's usual 6: a sixth of the time for a tenth more bytes."""
MAX_AVIF_SPEED: Final = 10


def written_format(encoding: Encoding, image: Image.Image) -> str:
    """Return the key in FORMATS under which *image* is written."""
    if encoding.format != AUTO:
        return encoding.format
    return "png" if is_transparent(image) else "jpeg"


def like(source: bytes, encoding: Encoding) -> Encoding:
    """Return *encoding* with the format that *source* has, if none is asked for."""
    kept = sniff(source[:HEAD_BYTES])
    if encoding.format != AUTO or kept not in WRITTEN:
        return encoding
    return encoding.model_copy(update={"format": kept})


Fields = Mapping[str, str]
"""Metadata by the names of ``domain.metadata.FIELDS``."""
NO_FIELDS: Final[Fields] = MappingProxyType({})


def encode(
    name: str, image: Image.Image, encoding: Encoding, fields: Fields = NO_FIELDS
) -> Picture:
    """Return *image* (RGB or RGBA, sRGB) encoded, under *name*.

    The bytes carry *fields* as EXIF and XMP, no other metadata and no ICC profile: sRGB is what
    every reader assumes.
    """
    format_ = written_format(encoding, image)
    if format_ == "jpeg":
        image = flat(image, encoding.background)
    options = _OPTIONS[format_](encoding)
    return _saved(name, image, format_, options | save_options(format_, fields))


def encode_animation(
    name: str, frames: Frames, encoding: Encoding, fields: Fields = NO_FIELDS
) -> Picture:
    """Return *frames* as an animated WebP, under *name*; format and chroma do not count."""
    first, *others = frames.images
    options = _OPTIONS["webp"](encoding) | {
        "save_all": True,
        "append_images": others,
        "duration": list(frames.durations_ms),
        "loop": frames.loop,
        "minimize_size": False,
    }
    return _saved(name, first, "webp", options | save_options("webp", fields))


def flat(image: Image.Image, background: str) -> Image.Image:
    """Return *image* as RGB, its transparent pixels laid on *background*."""
    if not is_transparent(image):
        return as_mode(image, "RGB")
    ground = Image.new("RGB", image.size, background)
    ground.paste(image, mask=image)
    return ground


def _saved(name: str, image: Image.Image, format_: str, options: dict[str, Any]) -> Picture:
    out = io.BytesIO()
    image.save(out, FORMATS[format_].pillow, **options)
    return Picture(
        name=name, data=out.getvalue(), width=image.width, height=image.height, format=format_
    )


# What a source carried is named explicitly where Pillow would otherwise fall back on it.


def _jpeg(encoding: Encoding) -> dict[str, Any]:
    return {
        "quality": encoding.quality or QUALITY["jpeg"],
        "subsampling": encoding.chroma,
        "optimize": (encoding.effort or 0) >= SMALL_JPEG,
        "progressive": encoding.progressive,
        "comment": None,
        # 0.3 % of the bytes, and single rows of blocks can be decoded: see strips.py. What is
        # refined in scans has no such rows.
        "restart_marker_rows": 0 if encoding.progressive else 1,
    }


def _png(encoding: Encoding) -> dict[str, Any]:
    level = PNG_LEVEL if encoding.effort is None else encoding.effort
    return {"compress_level": level, "icc_profile": None, "transparency": None}


def _webp(encoding: Encoding) -> dict[str, Any]:
    method = WEBP_METHOD
    if encoding.effort is not None:
        method = round(encoding.effort * MAX_WEBP_METHOD / MAX_EFFORT)
    return {"quality": encoding.quality or QUALITY["webp"], "method": method, "icc_profile": None}


def _avif(encoding: Encoding) -> dict[str, Any]:
    speed = AVIF_SPEED if encoding.effort is None else MAX_AVIF_SPEED - encoding.effort
    return {
        "quality": encoding.quality or QUALITY["avif"],
        "speed": speed,
        "icc_profile": None,
        "subsampling": encoding.chroma,
        "max_threads": 1,  # one photo, one core: others may be at work on the rest
    }


_OPTIONS: Final[dict[str, Callable[[Encoding], dict[str, Any]]]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "avif": _avif,
}
WRITTEN: Final = tuple(_OPTIONS)
"""The formats that can be written."""
