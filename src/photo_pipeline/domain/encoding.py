"""How a picture is written: format, quality and effort."""

from typing import Annotated, Final, Literal

from pydantic import Field

from photo_pipeline.domain.stage import Parameters

AUTO: Final = "auto"
"""JPEG, or PNG where a pixel is transparent."""

MAX_QUALITY: Final = 95
"""Above, files grow steeply and nobody sees a difference (libjpeg's own advice)."""


class Encoding(Parameters):
    """How a rendition is written.

    ``quality`` (1 to 95) is for JPEG, WebP and AVIF. ``effort`` trades time for bytes at the same
    quality, from 0 (fast) to 9 (small); None is the format's default. ``progressive`` is for
    JPEG and costs four times the encode. ``background`` is what transparent pixels are laid
    on where the format has no transparency.
    """

    format: Literal["auto", "jpeg", "png", "webp", "avif"] = AUTO
    quality: Annotated[int, Field(ge=1, le=MAX_QUALITY)] = 82
    effort: Annotated[int, Field(ge=0, le=9)] | None = None
    progressive: bool = False
    background: Annotated[str, Field(pattern="^#[0-9a-f]{6}$")] = "#ffffff"
