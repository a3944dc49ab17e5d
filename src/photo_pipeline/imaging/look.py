"""How a picture is marked: what to draw, how strongly, and where."""

import io
from base64 import b64decode
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from PIL import Image
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from photo_pipeline.domain.encoding import Encoding
from photo_pipeline.domain.stage import Parameters
from photo_pipeline.errors import PhotoPipelineError
from photo_pipeline.imaging.lettering import (
    JOINERS,
    REFERENCE_PX,
    can_shape,
    letters,
    missing_glyphs,
    needs_shaping,
)
from photo_pipeline.imaging.mark import Logo, Mark, Tone, lay, logo_shape, text_shape
from photo_pipeline.imaging.modes import is_transparent
from photo_pipeline.imaging.opening import open_upright
from photo_pipeline.imaging.placing import Position, placed, tiled
from photo_pipeline.imaging.probe import probe

MAX_TEXT: Final = 200
"""A line of that length is 4 px high on 2048 px: nobody reads more."""
MAX_LOGO_BYTES: Final = 1 << 20
"""The logo travels inside the preset: 1 MiB keeps presets readable and is ample for a PNG logo."""
MAX_LOGO_PIXELS: Final = 4_000_000
"""More than a mark across a 2048 px rendition can show; 16 MB decoded."""
CACHED_LOGOS: Final = 4  # of 16 MB at most: one for each of a few renditions, and the next preset's
LEGIBLE: Final = 3.0
"""The contrast that WCAG 2.2 asks of large text (1.4.3) and of graphics (1.4.11)."""
MAX_CONTRAST: Final = 21.0  # of white and black


def _drawable(text: str) -> str:
    if not text.translate(dict.fromkeys(map(ord, JOINERS))).isprintable():
        raise ValueError("text must be one line")
    if missing := missing_glyphs(text):
        raise ValueError(f"no typeface can draw: {missing}")
    if needs_shaping(text) and not can_shape():
        raise ValueError("text with joined or right-to-left letters needs the library FriBiDi")
    if letters(text, REFERENCE_PX).getbbox() is None:
        raise ValueError("text must have something to see")
    return text


def _readable(image: str) -> str:
    _logo(image)
    return image


class Tile(Parameters):
    """A pattern over the whole picture.

    ``angle`` is in degrees, counterclockwise. ``gap`` is the distance between two marks and
    two lines, as a share of the mark's width.
    """

    angle: Annotated[float, Field(ge=-90, le=90)] = 30
    gap: Annotated[float, Field(ge=0.05, le=4)] = 0.5


def _as_table(tile: Any) -> Any:
    return {} if tile is True else tile


def _tiled(tile: Any) -> str:
    """Choose one meaning, so that only the faults of that are told."""
    return "off" if tile is False else "tile"


Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_drawable)]
Image64 = Annotated[str, Field(max_length=MAX_LOGO_BYTES * 4 // 3 + 4), AfterValidator(_readable)]
Opacity = Annotated[float, Field(ge=0.1, le=1)]
Contrast = Annotated[float, Field(ge=1, le=MAX_CONTRAST)]
Scale = Annotated[float, Field(ge=0.02, le=1)]
Margin = Annotated[float, Field(ge=0, le=0.25)]
ToneWanted = Literal["auto", "light", "dark"]
Tiling = Annotated[
    Annotated[Tile, Tag("tile")] | Annotated[Literal[False], Tag("off")],
    Discriminator(_tiled),
    BeforeValidator(_as_table),
]


class Look(Parameters):
    """How one rendition is marked; the watermark stage says what each means."""

    text: Text = "© Photo Pipeline"
    image: Image64 | None = None
    tone: ToneWanted = "auto"
    opacity: Opacity = 0.6
    contrast: Contrast = LEGIBLE
    position: Position = "bottom-right"
    scale: Scale = 0.25
    margin: Margin = 0.02
    tile: Tiling = False
    encoding: Encoding = Encoding()


def design(image: Image.Image, look: Look) -> Mark:
    """Return the mark for *image* (RGB or RGBA), which stays as it is: ``stamp`` lays it on."""
    margin = 0 if look.tile else round(min(image.size) * look.margin)
    free = (max(1, image.width - 2 * margin), max(1, image.height - 2 * margin))
    box = (min(free[0], max(1, round(image.width * look.scale))), free[1])
    angle = look.tile.angle if look.tile else 0.0
    shape = (
        text_shape(look.text, box, angle)
        if look.image is None
        else logo_shape(_logo(look.image), box, angle)
    )
    places = (
        tiled(image.size, shape.straight, shape.size, angle=angle, gap=look.tile.gap)
        if look.tile
        else (placed(image.size, shape.size, look.position, margin),)
    )
    tone: Tone | None = None if look.tone == "auto" else look.tone
    return lay(image, shape, places, opacity=look.opacity, contrast=look.contrast, tone=tone)


@lru_cache(maxsize=CACHED_LOGOS)
def _logo(base64: str) -> Logo:
    """Return the logo, decoded; raise ValueError if it is not a visible PNG within the limits."""
    data = b64decode(base64, validate=True)
    if len(data) > MAX_LOGO_BYTES:
        raise ValueError(f"the logo has {len(data)} bytes; at most {MAX_LOGO_BYTES} are allowed")
    try:
        if probe(io.BytesIO(data), MAX_LOGO_PIXELS).format != "png":
            raise ValueError("the logo must be a PNG")
        logo = open_upright(data)
    except PhotoPipelineError as exc:
        raise ValueError(f"the logo is refused: {exc}") from exc
    if is_transparent(logo) and logo.getchannel("A").getextrema()[1] == 0:
        raise ValueError("the logo is fully transparent")
    return Logo(logo)
