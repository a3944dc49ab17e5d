"""Mark renditions with a text or a logo."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from PIL import Image
from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from photo_pipeline.domain.encoding import Encoding
from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.stage import Output, Parameters, Picture, Stage
from photo_pipeline.imaging.animation import Frames, frame_count, open_frames
from photo_pipeline.imaging.encode import Fields, encode, encode_animation, like
from photo_pipeline.imaging.fidelity import Made, Reference
from photo_pipeline.imaging.look import (
    Contrast,
    Image64,
    Look,
    Margin,
    Opacity,
    Scale,
    Text,
    Tiling,
    ToneWanted,
    design,
)
from photo_pipeline.imaging.mark import Mark, stamp
from photo_pipeline.imaging.metadata import Metadata, read_metadata
from photo_pipeline.imaging.opening import displayed_size, open_upright
from photo_pipeline.imaging.placing import Position
from photo_pipeline.imaging.receipts import Claim, certified, receipts

MAX_RENDITIONS: Final = 16
"""As many as ``resize`` makes."""
MAX_NAME: Final = 64
"""Far above any rendition's name; bounds what is stored."""

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


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


def _kind(rendition: Any) -> str:
    """Choose one meaning of an entry, so that only the faults of that are told."""
    return "name" if isinstance(rendition, str) else "look"


Marked = Annotated[
    Annotated[Name, Tag("name")] | Annotated[OwnLook, Tag("look")], Discriminator(_kind)
]


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

    renditions: Annotated[tuple[Marked, ...], Field(min_length=1, max_length=MAX_RENDITIONS)] = (
        "2048",
        "1280",
    )
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

    Format, size and metadata stay; only pixels under the mark change (and by JPEG's loss, the
    others); each has its receipt. The fact ``marks`` tells for each rendition the ``tone``
    chosen, the ``opacity`` and the ``contrast`` reached, and the ``box`` (left, top, width,
    height in fractions). Raises UnreadableImageError, TooManyPixelsError, and the errors of
    ``certified``.
    """
    pictures, marks, claims = [], {}, {}
    for name, look in looks(parameters).items():
        shown, mark = _marked(inputs[name], look)
        source = read_metadata(inputs[name])
        encoding = like(inputs[name], look.encoding)
        picture = _encoded(_written(name), shown, encoding, source.fields)
        pictures.append(picture)
        claims[picture.name] = _claim(picture.data, shown, encoding, source)
        marks[name] = {
            "tone": mark.tone,
            "opacity": mark.opacity,
            "contrast": mark.contrast,
            "box": _box(shown.images[0], mark),
        }
    return Output(pictures=certified(pictures, claims), facts={"marks": marks})


def check(
    inputs: Mapping[str, bytes], outputs: Mapping[str, bytes], parameters: WatermarkParameters
) -> dict[str, Receipt]:
    """Return the receipts of stored renditions: each against its input, marked anew."""
    claims = {}
    for name, look in looks(parameters).items():
        if (data := outputs.get(_written(name))) is not None:
            shown, _ = _marked(inputs[name], look)
            encoding = like(inputs[name], look.encoding)
            claims[_written(name)] = _claim(data, shown, encoding, read_metadata(inputs[name]))
    return receipts(claims)


def _claim(data: bytes, shown: Frames, encoding: Encoding, source: Metadata) -> Claim:
    """Return what the marked rendition *data* should be: as *shown*, with all its input says."""
    made = Made(data, Reference(shown.images[0]), background=encoding.background)
    return Claim(made, source, source.fields)


def _marked(data: bytes, look: Look) -> tuple[Frames, Mark]:
    """Return the rendition *data* with its mark, the same one on every frame."""
    if frame_count(data) > 1:
        shown = open_frames(data, displayed_size(data))
    else:
        shown = Frames(images=(open_upright(data),), durations_ms=(0,), loop=0)
    mark = design(shown.images[0], look)
    for image in shown.images:
        stamp(image, mark)
    return shown, mark


def _encoded(name: str, shown: Frames, encoding: Encoding, fields: Fields) -> Picture:
    if len(shown.images) > 1 and encoding.format == "webp":
        return encode_animation(name, shown, encoding, fields)
    return encode(name, shown.images[0], encoding, fields)


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
    check=check,
)
