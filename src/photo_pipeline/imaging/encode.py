"""Write pictures: the same bytes for the same pixels, and no metadata but what is asked for."""

import io
from collections.abc import Mapping
from typing import Any, Final

from PIL import Image

from photo_pipeline.domain.formats import FORMATS
from photo_pipeline.domain.stage import Picture
from photo_pipeline.imaging.metadata import save_options
from photo_pipeline.imaging.modes import as_mode, is_transparent

# Named explicitly where Pillow would otherwise fall back on what the source carried.
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    # Huffman optimisation doubles the time for 4 % of the bytes.
    # Restart markers (0.3 % of the bytes) let single rows of blocks be decoded: see strips.py.
    "jpeg": {
        "subsampling": "4:2:0",
        "optimize": False,
        "comment": None,
        "restart_marker_rows": 1,
    },
    # Against the usual level 6: a fifth of the time for a fifth more bytes (photo with alpha).
    "png": {"compress_level": 2, "icc_profile": None, "transparency": None},
    "webp": {"method": 4},
}
BACKGROUND: Final = "white"


def best_format(image: Image.Image) -> str:
    """Return the format for *image*: PNG if any pixel is transparent, else JPEG."""
    return "png" if is_transparent(image) else "jpeg"


def encode(
    name: str,
    image: Image.Image,
    format: str,  # noqa: A002
    quality: int,
    metadata: Mapping[str, str] | None = None,
) -> Picture:
    """Return *image* (RGB or RGBA, sRGB) encoded as *format*, under *name*.

    *format* is a key of ``SETTINGS``, *quality* 1 to 95 is for JPEG and WebP. The bytes carry
    the fields *metadata* (by the names of ``domain.metadata.FIELDS``) as EXIF and XMP, no other
    metadata and no ICC profile: sRGB is what every reader assumes. Transparent
    pixels of a JPEG are laid on white.
    """
    if format == "jpeg":
        image = _flat(image)
    out = io.BytesIO()
    options = SETTINGS[format] | save_options(format, metadata or {})
    image.save(out, FORMATS[format].pillow, quality=quality, **options)
    return Picture(
        name=name, data=out.getvalue(), width=image.width, height=image.height, format=format
    )


def _flat(image: Image.Image) -> Image.Image:
    if not is_transparent(image):
        return as_mode(image, "RGB")
    flat = Image.new("RGB", image.size, BACKGROUND)
    flat.paste(image, mask=image)
    return flat
