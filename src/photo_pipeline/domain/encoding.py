"""How a picture is written: format, quality and effort."""

from typing import Annotated, Final, Literal

from pydantic import Field

from photo_pipeline.domain.stage import Parameters

AUTO: Final = "auto"

MAX_QUALITY: Final = 95
"""Above, files grow steeply and nobody sees a difference (libjpeg's own advice)."""
MAX_EFFORT: Final = 9

WrittenFormat = Literal["jpeg", "png", "webp", "avif"]


class Encoding(Parameters):
    """How a rendition is written.

    ``format`` is ``jpeg``, ``png``, ``webp``, ``avif`` or ``auto``: JPEG, or PNG where a pixel is
    transparent. ``quality`` (1 to 95) is for all but PNG; without it JPEG and WebP have 82, AVIF
    60, which looks alike. ``effort`` trades time for bytes at the same quality, from 0 (fast)
    to 9 (small); without it each format has the least that is worth while. ``progressive`` is
    for JPEG: it appears in full at once and gets finer, and costs four times the encoding.
    ``chroma`` (not for PNG, and WebP has 4:2:0 only) is how densely colour is sampled: 4:4:4 for
    proofs, fine coloured lines and text. ``background`` is what transparent pixels are laid on
    where the format has no transparency.
    """

    format: Literal["auto"] | WrittenFormat = "auto"
    quality: Annotated[int, Field(ge=1, le=MAX_QUALITY)] | None = None
    effort: Annotated[int, Field(ge=0, le=MAX_EFFORT)] | None = None
    progressive: bool = False
    chroma: Literal["4:2:0", "4:4:4"] = "4:2:0"
    background: Annotated[str, Field(pattern="^#[0-9a-f]{6}$")] = "#ffffff"
