"""Pictures as files."""

import io
from typing import Any

from PIL import Image


def save(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    """Return *image* as Pillow writes it."""
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()
