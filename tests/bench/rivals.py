"""What the stages are measured against: the same renditions by other means."""

import io
import os
from collections.abc import Mapping
from typing import Any, Final

from PIL import Image, ImageOps

SIZES: Final = (2048, 1280, 640, 320)
QUALITY: Final = 82
MARKED: Final = ("2048", "1280")

os.environ.setdefault("VIPS_CONCURRENCY", "1")  # read at its import: one core, as everybody


def plain_resize(
    photo: bytes, quality: int = QUALITY, sizes: Mapping[str, tuple[int, int]] | None = None
) -> dict[str, bytes]:
    """Return the renditions as a tutorial would make them: each from the full picture.

    *sizes* are wanted where they are to be compared with somebody's who rounds in another way.
    """
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(photo))).convert("RGB")
    made = {}
    for side in SIZES:
        factor = min(1.0, side / max(image.size))
        size = (round(image.width * factor), round(image.height * factor))
        if sizes:
            size = sizes[str(side)]
        made[str(side)] = _jpeg(image.resize(size, Image.Resampling.LANCZOS), quality)
    return made


def plain_watermark(renditions: Mapping[str, bytes], logo: Image.Image) -> dict[str, bytes]:
    """Return marked copies as a tutorial would make them: a layer as large as the picture."""
    made = {}
    for name in MARKED:
        image = Image.open(io.BytesIO(renditions[name])).convert("RGBA")
        layer = Image.new("RGBA", image.size)
        layer.paste(logo, (image.width - logo.width - 20, image.height - logo.height - 20))
        made[name] = _jpeg(Image.alpha_composite(image, layer).convert("RGB"))
    return made


def plain_detect(rendition: bytes) -> bytes:
    """Return what a detector would look at: 320 px a side, from the 640 px rendition."""
    return Image.open(io.BytesIO(rendition)).convert("RGB").resize((320, 320)).tobytes()


def recoded(renditions: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the renditions decoded and encoded again: the least a watermark costs."""
    return {name: _jpeg(Image.open(io.BytesIO(renditions[name]))) for name in MARKED}


def vips_resize(photo: bytes, quality: int = QUALITY) -> dict[str, bytes]:
    """Return the renditions as libvips makes them best: shrink-on-load, then a cascade."""
    import pyvips  # noqa: PLC0415  # an extra, and it starts threads

    made = {}
    image: Any = pyvips.Image.thumbnail_buffer(photo, SIZES[0], height=SIZES[0], size="down")
    for i, side in enumerate(SIZES):
        if i:
            image = image.thumbnail_image(side, height=side, size="down")
        image = image.copy_memory()
        made[str(side)] = image.jpegsave_buffer(Q=quality, strip=True)
    return made


def _jpeg(image: Image.Image, quality: int = QUALITY) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()
