"""Mark renditions with a text or a logo."""

import io
from base64 import b64decode
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Final, Literal, Self

from PIL import Image
from pydantic import Field, field_validator, model_validator

from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.stage import Output, Parameters, Picture, Stage
from photo_pipeline.errors import PhotoPipelineError
from photo_pipeline.imaging.encode import SETTINGS, best_format, encode
from photo_pipeline.imaging.fidelity import Made, Reference
from photo_pipeline.imaging.mark import logo_mark, missing_glyphs, stamp, text_mark
from photo_pipeline.imaging.metadata import read_metadata
from photo_pipeline.imaging.modes import is_transparent
from photo_pipeline.imaging.opening import open_upright
from photo_pipeline.imaging.probe import probe
from photo_pipeline.imaging.receipts import certified, receipts
from photo_pipeline.imaging.sniff import HEAD_BYTES, sniff

Position = Literal[
    "top-left", "top", "top-right",
    "left", "centre", "right",
    "bottom-left", "bottom", "bottom-right",
]  # fmt: skip

FREE_SPACE_BEFORE: Final[dict[Position, tuple[float, float]]] = {
    "top-left": (0, 0), "top": (0.5, 0), "top-right": (1, 0),
    "left": (0, 0.5), "centre": (0.5, 0.5), "right": (1, 0.5),
    "bottom-left": (0, 1), "bottom": (0.5, 1), "bottom-right": (1, 1),
}  # fmt: skip
"""Which share of the free width and height lies left of and above the mark."""

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


class WatermarkParameters(Parameters):
    """Which renditions get which mark, and where.

    ``scale`` is the mark's width as a share of the picture's width, ``margin`` its distance
    from the edges as a share of the picture's shorter side. ``image`` is a PNG logo in base64
    that replaces ``text``. Lower bounds keep the mark visible: an invisible one is a mistake.
    """

    renditions: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=MAX_NAME)], ...],
        Field(min_length=1, max_length=MAX_RENDITIONS),
    ] = ("2048", "1280")
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] = "© Photo Pipeline"
    image: Annotated[str, Field(max_length=MAX_LOGO_BYTES * 4 // 3 + 4)] | None = None
    opacity: Annotated[float, Field(ge=0.1, le=1)] = 0.6
    position: Position = "bottom-right"
    scale: Annotated[float, Field(ge=0.02, le=1)] = 0.25
    margin: Annotated[float, Field(ge=0, le=0.25)] = 0.02
    quality: Annotated[int, Field(ge=1, le=95)] = 82

    @field_validator("renditions")
    @classmethod
    def _distinct(cls, renditions: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(renditions)) < len(renditions):
            msg = "renditions must differ from each other"
            raise ValueError(msg)
        return renditions

    @field_validator("text")
    @classmethod
    def _drawable(cls, text: str) -> str:
        if not text.isprintable() or not text.strip():
            msg = "text must be one line with something to see"
            raise ValueError(msg)
        if missing := missing_glyphs(text):
            msg = f"the font cannot draw: {missing}"
            raise ValueError(msg)
        return text

    @model_validator(mode="after")
    def _logo_is_readable(self) -> Self:
        if self.image is not None:
            _logo(self.image)
        return self


def watermark(inputs: Mapping[str, bytes], parameters: WatermarkParameters) -> Output:
    """Return a marked copy of each rendition, named ``<rendition>-watermarked``.

    Format, size and metadata stay; only pixels under the mark change (and by JPEG's loss, the
    others). Raises UnreadableImageError, TooManyPixelsError, and the errors of ``certified``.
    """
    return Output(
        pictures=tuple(_published(name, inputs[name], parameters) for name in _reads(parameters))
    )


def _published(name: str, data: bytes, parameters: WatermarkParameters) -> Picture:
    image = _marked(data, parameters)
    kept = sniff(data[:HEAD_BYTES])
    format_ = kept if kept in SETTINGS else best_format(image)
    source = read_metadata(data)
    picture = encode(_written(name), image, format_, parameters.quality, source.fields)
    return certified([picture], Reference(image), source, source.fields)[0]


def check(
    inputs: Mapping[str, bytes], outputs: Mapping[str, bytes], parameters: WatermarkParameters
) -> dict[str, Receipt]:
    """Return the receipts of stored renditions: each against its input, marked anew."""
    found: dict[str, Receipt] = {}
    for name in _reads(parameters):
        if (data := outputs.get(_written(name))) is not None:
            source, expected = read_metadata(inputs[name]), _marked(inputs[name], parameters)
            made = {_written(name): Made(data)}
            found |= receipts(made, Reference(expected), source, source.fields)
    return found


def _marked(data: bytes, parameters: WatermarkParameters) -> Image.Image:
    image = open_upright(data)
    margin = round(min(image.size) * parameters.margin)
    free = (max(1, image.width - 2 * margin), max(1, image.height - 2 * margin))
    box = (min(free[0], max(1, round(image.width * parameters.scale))), free[1])
    mark = (
        text_mark(parameters.text, box, parameters.opacity)
        if parameters.image is None
        else logo_mark(_logo(parameters.image), box, parameters.opacity)
    )
    across, down = FREE_SPACE_BEFORE[parameters.position]
    at = (
        margin + round((free[0] - mark.width) * across),
        margin + round((free[1] - mark.height) * down),
    )
    stamp(image, mark, at)
    return image


@lru_cache(maxsize=2)
def _logo(base64: str) -> Image.Image:
    """Return the logo, decoded; raise ValueError if it is not a visible PNG within the limits."""
    data = b64decode(base64, validate=True)
    if len(data) > MAX_LOGO_BYTES:
        msg = f"the logo has {len(data)} bytes; at most {MAX_LOGO_BYTES} are allowed"
        raise ValueError(msg)
    try:
        if probe(io.BytesIO(data), MAX_LOGO_PIXELS).format != "png":
            msg = "the logo must be a PNG"
            raise ValueError(msg)
        logo = open_upright(data)
    except PhotoPipelineError as exc:
        msg = f"the logo is refused: {exc}"
        raise ValueError(msg) from exc
    if is_transparent(logo) and logo.getchannel("A").getextrema()[1] == 0:
        msg = "the logo is fully transparent"
        raise ValueError(msg)
    return logo


def _written(name: str) -> str:
    return f"{name}-watermarked"


def _reads(parameters: WatermarkParameters) -> tuple[str, ...]:
    return parameters.renditions


def _writes(parameters: WatermarkParameters) -> tuple[str, ...]:
    return tuple(_written(name) for name in parameters.renditions)


STAGE: Final = Stage(
    version=2,
    parameters=WatermarkParameters,
    transform=watermark,
    reads=_reads,
    writes=_writes,
    check=check,
)
