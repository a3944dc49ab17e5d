"""Shrink the photo into a set of renditions, with a placeholder to paint before they load."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final

from PIL import Image
from pydantic import Field, field_validator

from photo_pipeline.domain.metadata import MetadataParameters
from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.stage import ORIGINAL, Output, Parameters, Picture, Stage
from photo_pipeline.imaging.encode import best_format, encode
from photo_pipeline.imaging.fidelity import Made, Reference
from photo_pipeline.imaging.metadata import read_metadata
from photo_pipeline.imaging.opening import displayed_size, open_upright
from photo_pipeline.imaging.receipts import certified, receipts
from photo_pipeline.imaging.scale import fit, shrink

MAX_SIDE: Final = 10_000
"""Longest side of a rendition in pixels: 100 million pixels, as many as a photo may have."""
MAX_SIZES: Final = 16
"""More renditions than any ``srcset`` needs; bounds the work that one preset can ask for."""
PLACEHOLDER_SIDE: Final = 16
"""Longest side in pixels: the data URI stays at some 100 bytes, the size of a short URL."""
PLACEHOLDER_QUALITY: Final = 50


class ResizeParameters(Parameters):
    """Longest sides in pixels, largest first whatever the order given, and JPEG quality."""

    sizes: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_SIDE)], ...],
        Field(min_length=1, max_length=MAX_SIZES),
    ] = (2048, 1280, 640, 320)
    quality: Annotated[int, Field(ge=1, le=95)] = 82
    metadata: MetadataParameters = MetadataParameters()

    @field_validator("sizes")
    @classmethod
    def _largest_first(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(sizes)) < len(sizes):
            msg = "sizes must differ from each other"
            raise ValueError(msg)
        return tuple(sorted(sizes, reverse=True))


def resize(inputs: Mapping[str, bytes], parameters: ResizeParameters) -> Output:
    """Return a rendition for each size, named after it, and facts about the photo.

    Renditions are upright, sRGB, with no metadata but what ``metadata`` keeps, never larger than
    the photo, and each has its receipt; JPEG, or PNG if the photo has transparency. Facts:
    displayed ``width`` and ``height`` of the original in pixels, and ``placeholder``, a data
    URI of a WebP picture. Raises UnreadableImageError, TooManyPixelsError, and the errors of
    ``certified``.
    """
    original = inputs[ORIGINAL]
    displayed = displayed_size(original)
    # One decode, then each size from the next larger one: half the time of four resizes from
    # the full photo, at 54 dB from their result, which the encoder's loss hides.
    image = open_upright(original, parameters.sizes[0])
    reference, metadata = Reference(image), read_metadata(original)
    kept = metadata.kept(parameters.metadata.keep)
    format_ = best_format(image)
    pictures: list[Picture] = []
    for side in parameters.sizes:
        size = fit(displayed, side)
        if pictures and size == image.size:  # a small photo: the same bytes again
            pictures.append(replace(pictures[-1], name=str(side)))
            continue
        image = shrink(image, size)
        pictures.append(encode(str(side), image, format_, parameters.quality, kept))
    width, height = displayed
    tiny = shrink(image, fit(displayed, PLACEHOLDER_SIDE))
    return Output(
        pictures=certified(pictures, reference, metadata, kept),
        facts={"width": width, "height": height, "placeholder": _data_uri(tiny)},
    )


def check(
    inputs: Mapping[str, bytes], outputs: Mapping[str, bytes], parameters: ResizeParameters
) -> dict[str, Receipt]:
    """Return the receipts of stored renditions, from the original that they were made of."""
    metadata = read_metadata(inputs[ORIGINAL])
    return receipts(
        {name: Made(data) for name, data in outputs.items()},
        Reference(open_upright(inputs[ORIGINAL], parameters.sizes[0])),
        metadata,
        metadata.kept(parameters.metadata.keep),
    )


def _data_uri(image: Image.Image) -> str:
    data = encode("placeholder", image, "webp", PLACEHOLDER_QUALITY).data
    return f"data:image/webp;base64,{b64encode(data).decode()}"


def _reads(_: ResizeParameters) -> tuple[str, ...]:
    return (ORIGINAL,)


def _writes(parameters: ResizeParameters) -> tuple[str, ...]:
    return tuple(str(side) for side in parameters.sizes)


STAGE: Final = Stage(
    version=2,
    parameters=ResizeParameters,
    transform=resize,
    reads=_reads,
    writes=_writes,
    check=check,
)
