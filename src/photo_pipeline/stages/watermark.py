"""Mark renditions with a text or a logo."""

import io
from base64 import b64decode
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, Self

from PIL import Image
from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from photo_pipeline.domain.encoding import AUTO, Encoding
from photo_pipeline.domain.stage import Output, Parameters, Picture, Stage
from photo_pipeline.errors import PhotoPipelineError
from photo_pipeline.imaging.encode import SETTINGS, best_format, encode
from photo_pipeline.imaging.lettering import (
    JOINERS,
    REFERENCE_PX,
    can_shape,
    letters,
    missing_glyphs,
    needs_shaping,
)
from photo_pipeline.imaging.mark import Logo, Mark, Tone, lay, logo_shape, stamp, text_shape
from photo_pipeline.imaging.modes import is_transparent
from photo_pipeline.imaging.opening import open_upright
from photo_pipeline.imaging.placing import Position, placed, tiled
from photo_pipeline.imaging.probe import probe
from photo_pipeline.imaging.sniff import HEAD_BYTES, sniff

MAX_RENDITIONS: Final = 16
"""As many as ``resize`` makes."""
MAX_NAME: Final = 64
"""Far above any rendition's name; bounds what is stored."""
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


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_drawable)]
Image64 = Annotated[str, Field(max_length=MAX_LOGO_BYTES * 4 // 3 + 4), AfterValidator(_readable)]
Opacity = Annotated[float, Field(ge=0.1, le=1)]
Contrast = Annotated[float, Field(ge=1, le=MAX_CONTRAST)]
Scale = Annotated[float, Field(ge=0.02, le=1)]
Margin = Annotated[float, Field(ge=0, le=0.25)]
ToneWanted = Literal["auto", "light", "dark"]
Tiling = Annotated[Tile | Literal[False], BeforeValidator(_as_table)]


class Look(Parameters):
    """How one rendition is marked; see ``WatermarkParameters``."""

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


class OwnLook(Parameters):
    """A rendition, and what of its mark differs from the others.

    ``text`` takes the place of a logo, ``image`` that of a text.
    """

    name: Name
    text: Text | None = None
    image: Image64 | None = None
    tone: ToneWanted | None = None
    opacity: Opacity | None = None
    contrast: Contrast | None = None
    position: Position | None = None
    scale: Scale | None = None
    margin: Margin | None = None
    tile: Tiling | None = None
    encoding: Encoding | None = None


class WatermarkParameters(Look):
    """Which renditions get which mark, and where.

    ``renditions`` are names, or tables with a ``name`` and whatever shall differ from the
    fields below. ``image`` is a PNG logo in base64 that replaces ``text``. ``tone`` is for texts
    and logos of one shade of grey: ``auto`` draws them light on a dark ground and dark on a
    light one; a coloured logo keeps its colours. ``opacity`` is raised where the mark would
    have less ``contrast`` than that (imaging/legibility.py says how it is measured), and a halo
    of the other tone is drawn; 1 leaves the mark as given. ``scale`` is the mark's width as a
    share of the picture's width, ``margin`` its distance from the edges as a share of the
    picture's shorter side. ``tile`` repeats it over the whole picture, whatever the position:
    true, or a table with ``angle`` and ``gap``. ``encoding`` with the format ``auto`` keeps that
    of the rendition. With ``unmarked = "withheld"``, neither the original nor any rendition
    without a mark is served. Lower bounds keep the mark visible: an invisible one is a mistake.
    """

    renditions: Annotated[
        tuple[Name | OwnLook, ...], Field(min_length=1, max_length=MAX_RENDITIONS)
    ] = ("2048", "1280")
    unmarked: Literal["served", "withheld"] = "served"

    @model_validator(mode="before")
    @classmethod
    def _as_stored_earlier(cls, given: Any) -> Any:
        """Accept ``quality`` beside the other fields, where version 1 had it."""
        if isinstance(given, Mapping) and "quality" in given and "encoding" not in given:
            rest = {name: value for name, value in given.items() if name != "quality"}
            return {**rest, "encoding": {"quality": given["quality"]}}
        return given

    @field_validator("renditions")
    @classmethod
    def _distinct(cls, renditions: tuple[str | OwnLook, ...]) -> tuple[str | OwnLook, ...]:
        if len(set(map(_name, renditions))) < len(renditions):
            raise ValueError("renditions must differ from each other")
        return renditions

    @model_validator(mode="after")
    def _one_mark_each(self) -> Self:
        both = [r.name for r in self.renditions if isinstance(r, OwnLook) and r.text and r.image]
        if both:
            raise ValueError(f"either text or image, not both, for {', '.join(both)}")
        return self


def watermark(inputs: Mapping[str, bytes], parameters: WatermarkParameters) -> Output:
    """Return a marked copy of each rendition, named ``<rendition>-watermarked``.

    Format and size stay; only pixels under the mark change (and by JPEG's loss, the others).
    The fact ``marks`` tells for each rendition the ``tone`` chosen, the ``opacity`` and the
    ``contrast`` reached, and the ``box`` (left, top, width, height in fractions). Raises
    UnreadableImageError and TooManyPixelsError.
    """
    pictures, marks = [], {}
    for name, look in looks(parameters).items():
        image = open_upright(inputs[name])
        mark = design(image, look)
        stamp(image, mark)
        pictures.append(_encoded(_written(name), image, inputs[name], look.encoding))
        marks[name] = {
            "tone": mark.tone,
            "opacity": mark.opacity,
            "contrast": mark.contrast,
            "box": _box(image, mark),
        }
    return Output(pictures=tuple(pictures), facts={"marks": marks})


def looks(parameters: WatermarkParameters) -> dict[str, Look]:
    """Return how each rendition is marked, by its name."""
    common = {name: getattr(parameters, name) for name in Look.model_fields}
    found = {}
    for rendition in parameters.renditions:
        own: dict[str, Any] = {}
        if isinstance(rendition, OwnLook):
            own = {name: getattr(rendition, name) for name in Look.model_fields}
            own = {name: value for name, value in own.items() if value is not None}
            if "text" in own:
                own["image"] = None
        found[_name(rendition)] = Look.model_construct(**{**common, **own})
    return found


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


def _box(image: Image.Image, mark: Mark) -> list[float]:
    """Return where the mark is, in fractions of the picture; a pattern is everywhere."""
    if len(mark.places) > 1:
        return [0.0, 0.0, 1.0, 1.0]
    ((x, y),) = mark.places
    left, top = max(0, x), max(0, y)
    right, bottom = (
        min(x + mark.layer.width, image.width),
        min(y + mark.layer.height, image.height),
    )
    shares = (
        left / image.width,
        top / image.height,
        (right - left) / image.width,
        (bottom - top) / image.height,
    )
    return [round(share, 4) for share in shares]


def _encoded(name: str, image: Image.Image, source: bytes, encoding: Encoding) -> Picture:
    format_: str = encoding.format
    if format_ == AUTO:
        kept = sniff(source[:HEAD_BYTES])
        format_ = kept if kept in SETTINGS else best_format(image)
    return encode(name, image, format_, encoding.quality)


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


def _name(rendition: str | OwnLook) -> str:
    return rendition if isinstance(rendition, str) else rendition.name


def _written(name: str) -> str:
    return f"{name}-watermarked"


def _reads(parameters: WatermarkParameters) -> tuple[str, ...]:
    return tuple(map(_name, parameters.renditions))


def _writes(parameters: WatermarkParameters) -> tuple[str, ...]:
    return tuple(map(_written, _reads(parameters)))


def _withholds(parameters: WatermarkParameters, earlier: tuple[str, ...]) -> tuple[str, ...]:
    return earlier if parameters.unmarked == "withheld" else ()


STAGE: Final = Stage(
    version=2,
    parameters=WatermarkParameters,
    transform=watermark,
    reads=_reads,
    writes=_writes,
    withholds=_withholds,
)
