"""The image formats that travel through the pipeline."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """A format: Pillow's name for it, its media type (IANA) and its file extension."""

    pillow: str
    content_type: str
    extension: str


FORMATS: Final[dict[str, ImageFormat]] = {
    "jpeg": ImageFormat("JPEG", "image/jpeg", "jpg"),
    "png": ImageFormat("PNG", "image/png", "png"),
    "webp": ImageFormat("WEBP", "image/webp", "webp"),
    "gif": ImageFormat("GIF", "image/gif", "gif"),
    "tiff": ImageFormat("TIFF", "image/tiff", "tif"),
    "bmp": ImageFormat("BMP", "image/bmp", "bmp"),
    "avif": ImageFormat("AVIF", "image/avif", "avif"),
    "heic": ImageFormat("HEIF", "image/heic", "heic"),
    "jpeg2000": ImageFormat("JPEG2000", "image/jp2", "jp2"),
}
