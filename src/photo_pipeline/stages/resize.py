"""Shrink the photo into a set of renditions, with a placeholder to paint before they load."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Annotated, Any, Final, Self

from PIL import Image
from pydantic import Field, field_validator, model_validator

from photo_pipeline.domain.encoding import MAX_QUALITY, Encoding
from photo_pipeline.domain.metadata import MetadataParameters
from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.rendition import RenditionParameters, Side
from photo_pipeline.domain.stage import (
    ORIGINAL,
    Box,
    Note,
    Output,
    Parameters,
    Picture,
    Stage,
    Subject,
)
from photo_pipeline.imaging.animation import frame_count, holdable, open_frames
from photo_pipeline.imaging.crop import WHOLE
from photo_pipeline.imaging.encode import encode, encode_animation
from photo_pipeline.imaging.fidelity import Made, Reference
from photo_pipeline.imaging.framing import Framed, framed, render
from photo_pipeline.imaging.metadata import Metadata, read_metadata
from photo_pipeline.imaging.opening import Opened, displayed_size, open_noted
from photo_pipeline.imaging.receipts import Claim, certified, receipts
from photo_pipeline.imaging.scale import fit, shrink

MAX_RENDITIONS: Final = 16
"""More than any ``srcset`` needs; bounds the work that one preset can ask for."""
MAX_FACES: Final = 100
MAX_TOLERANCE: Final = 0.1
PLACEHOLDER_SIDE: Final = 16
"""Longest side in pixels: the data URI stays at some 100 bytes, the size of a short URL."""
PLACEHOLDER: Final = Encoding(format="webp", quality=50)

_ENCODING: Final = set(Encoding.model_fields)

Fraction = Annotated[float, Field(ge=0, le=1)]


class ResizeParameters(Parameters):
    """Which renditions are made.

    ``sizes`` are longest sides in pixels: for each, a rendition of that name shows the whole
    photo as JPEG of ``quality``, or as PNG if it has transparency. ``renditions`` are any others,
    as tables. A JPEG is decoded at less than half the cost to 1/2, 1/4 or 1/8 of its size: if
    that is not quite as large as the largest rendition, but smaller by no more than the share
    ``tolerance``, the rendition gets that size (of a photo of 4000 px the one named 2048 has 2000
    px); 0 always gives the size asked for, as every box that is filled has anyway.
    ``focal_point`` and ``faces`` come from the photo where it has them.
    """

    sizes: Annotated[tuple[Side, ...], Field(max_length=MAX_RENDITIONS)] = (2048, 1280, 640, 320)
    quality: Annotated[int, Field(ge=1, le=MAX_QUALITY)] | None = None
    renditions: Annotated[tuple[RenditionParameters, ...], Field(max_length=MAX_RENDITIONS)] = ()
    tolerance: Annotated[float, Field(ge=0, le=MAX_TOLERANCE)] = 0.05
    metadata: MetadataParameters = MetadataParameters()
    focal_point: tuple[Fraction, Fraction] | None = None
    faces: Annotated[tuple[Box, ...], Field(max_length=MAX_FACES)] = ()

    @field_validator("sizes")
    @classmethod
    def _largest_first(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(sizes)) < len(sizes):
            raise ValueError("sizes must differ from each other")
        return tuple(sorted(sizes, reverse=True))

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        names = _writes(self)
        if not names:
            raise ValueError("sizes or renditions must name something to make")
        if len(set(names)) < len(names):
            raise ValueError(f"each name once: {', '.join(names)}")
        return self

    @property
    def wanted(self) -> tuple[RenditionParameters, ...]:
        """Every rendition to make, those of ``sizes`` first."""
        return (
            *(
                RenditionParameters(name=str(side), longest_side=side, quality=self.quality)
                for side in self.sizes
            ),
            *self.renditions,
        )


def resize(inputs: Mapping[str, bytes], parameters: ResizeParameters) -> Output:
    """Return the renditions asked for, and facts about the photo.

    Renditions are upright and in sRGB, with no metadata but what ``metadata`` keeps, and each
    has its receipt. Facts: displayed ``width`` and ``height`` of the original in pixels,
    ``placeholder``, a data URI of a WebP picture, and ``notes`` (code and message) on what was
    done otherwise than asked. Raises UnreadableImageError, TooManyPixelsError, and the errors
    of ``certified``.
    """
    original = inputs[ORIGINAL]
    displayed = displayed_size(original)
    opened = _base(original, displayed, parameters)
    base, notes = opened.image, list(opened.notes)
    metadata = read_metadata(original)
    fields = metadata.kept(parameters.metadata.keep)
    frames = [base]
    firsts: dict[str, Image.Image] = {}
    made: dict[Any, Picture] = {}
    pictures: dict[str, Picture] = {}
    wanted = _framed(base, displayed, parameters)
    for one in sorted(wanted, key=lambda one: one.longest_side, reverse=True):
        name = one.rendition.name
        if _moves(original, one, notes):
            shown = open_frames(original, one.size, one.region)
            firsts[name] = shown.images[0]
            pictures[name] = encode_animation(name, shown, one.rendition, fields)
            continue
        image = render(frames, one)
        if one.region == WHOLE and image is not frames[-1]:
            frames.append(image)
        # A small photo is the same at several sizes.
        key = image.size, one.region, one.rendition.model_dump_json(include=_ENCODING)
        if key not in made:
            made[key] = encode(name, image, one.rendition, fields)
        pictures[name] = replace(made[key], name=name)
    made_bytes = {name: picture.data for name, picture in pictures.items()}
    certificates = _claims(made_bytes, wanted, Shown(base, firsts), metadata, parameters)
    return Output(
        pictures=certified([pictures[name] for name in _writes(parameters)], certificates),
        facts=_facts(displayed, frames[-1], notes),
    )


def check(
    inputs: Mapping[str, bytes], outputs: Mapping[str, bytes], parameters: ResizeParameters
) -> dict[str, Receipt]:
    """Return the receipts of stored renditions, from the original that they were made of."""
    original = inputs[ORIGINAL]
    displayed = displayed_size(original)
    base = _base(original, displayed, parameters).image
    wanted = _framed(base, displayed, parameters)
    firsts = {
        one.rendition.name: open_frames(original, one.size, one.region).images[0]
        for one in wanted
        if _moves(original, one, [])
    }
    claims = _claims(outputs, wanted, Shown(base, firsts), read_metadata(original), parameters)
    return receipts(claims)


@dataclass(frozen=True, slots=True)
class Shown:
    """What renditions are to look like: the photo, or the first frame of an animation by name.

    They may differ: a PNG may begin with a picture that is no frame.
    """

    base: Image.Image
    firsts: Mapping[str, Image.Image]


def _claims(
    outputs: Mapping[str, bytes],
    wanted: Sequence[Framed],
    shown: Shown,
    metadata: Metadata,
    parameters: ResizeParameters,
) -> dict[str, Claim]:
    """Return what each of *outputs* should be."""
    photo, fields = Reference(shown.base), metadata.kept(parameters.metadata.keep)
    claims = {}
    for one in wanted:
        name, background = one.rendition.name, one.rendition.background
        if name in shown.firsts and name in outputs:
            made = Made(outputs[name], Reference(shown.firsts[name]), background=background)
        elif name in outputs:
            made = Made(outputs[name], photo, one.box, background)
        else:
            continue
        claims[name] = Claim(made, metadata, fields)
    return claims


def _framed(
    base: Image.Image, displayed: tuple[int, int], parameters: ResizeParameters
) -> list[Framed]:
    subject = Subject(focal_point=parameters.focal_point, faces=parameters.faces)
    return framed(parameters.wanted, displayed, subject, base)


def _base(original: bytes, displayed: tuple[int, int], parameters: ResizeParameters) -> Opened:
    """Return the photo, upright and in sRGB, as large as the largest rendition needs it."""
    largest = max(framed(parameters.wanted, displayed, Subject()), key=lambda one: one.longest_side)
    if largest.longest_side >= max(displayed):
        return open_noted(original)
    if largest.region == WHOLE:
        return open_noted(original, max(largest.size), parameters.tolerance)
    return open_noted(original, ceil(largest.longest_side))


def _moves(original: bytes, one: Framed, notes: list[Note]) -> bool:
    """Say whether all frames of an animation are shown; note where they are too many."""
    if one.rendition.animation != "all" or frame_count(original) == 1:
        return False
    if holdable(original, one.size):
        return True
    message = f"{one.rendition.name} shows the first frame: there are too many for the memory"
    notes.append(Note("animation_reduced", message))
    return False


def _facts(
    displayed: tuple[int, int], smallest: Image.Image, notes: Sequence[Note]
) -> dict[str, Any]:
    tiny = shrink(smallest, fit(smallest.size, PLACEHOLDER_SIDE))
    data = b64encode(encode("placeholder", tiny, PLACEHOLDER).data).decode()
    facts: dict[str, Any] = {
        "width": displayed[0],
        "height": displayed[1],
        "placeholder": f"data:image/webp;base64,{data}",
    }
    if notes:
        facts["notes"] = [asdict(note) for note in notes]
    return facts


def _for_photo(parameters: ResizeParameters, subject: Subject) -> ResizeParameters:
    """Return *parameters* with the photo's subject, if any rendition is cut around it."""
    if all(one.fit == "fit" for one in parameters.renditions):
        return parameters
    own = {"focal_point": subject.focal_point, "faces": subject.faces}
    return parameters.model_copy(update={name: value for name, value in own.items() if value})


def _reads(_: ResizeParameters) -> tuple[str, ...]:
    return (ORIGINAL,)


def _writes(parameters: ResizeParameters) -> tuple[str, ...]:
    return tuple(one.name for one in parameters.wanted)


STAGE: Final = Stage(
    version=2,
    parameters=ResizeParameters,
    transform=resize,
    reads=_reads,
    writes=_writes,
    for_photo=_for_photo,
    check=check,
)
