"""Say what can be said about the photo: what is in it, colours, sharpness, exposure, hashes."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from PIL import Image, ImageFilter, ImageStat
from pydantic import Field, field_validator, model_validator

from photo_pipeline.detectors.detector import Thresholds
from photo_pipeline.detectors.registry import DETECTORS, NOT_WANTED, look, warm
from photo_pipeline.domain.stage import Output, Parameters, Stage
from photo_pipeline.imaging.opening import open_upright
from photo_pipeline.imaging.palette import dominant_colours
from photo_pipeline.imaging.perceptual import dhash, phash
from photo_pipeline.imaging.scale import fit, shrink

LOOK_SIDE: Final = 1280
"""Longest side in pixels of what the detectors get: they look at 1024 at most, and a preset
may name any rendition."""
WORK_SIDE: Final = 640
"""The same of the rest: sharpness depends on size, so it is fixed."""
MAX_NAME: Final = 64
"""Far above any rendition's name; bounds what is stored."""
MAX_COLOURS: Final = 16
"""A palette for a page has a handful; above, median cut splits noise."""
OPAQUE: Final = 128
"""Alpha from which a pixel counts as visible."""
GREY: Final = (128, 128, 128)

LAPLACIAN: Final = (0, 1, 0, 1, -4, 1, 0, 1, 0)
BLURRED_BELOW: Final = 12.0
SOFT_BELOW: Final = 50.0
"""Variances at 640 px, set by 40 wallpaper photographs: of the sharp ones 85 % lie above 50; of
the same blurred by a Gaussian of 1 px 80 % lie below 50, of 2 px 97 % below 12. Pictures
without detail, such as sky or fog, cannot be told from blurred ones."""

CLIPPED_SHADOW: Final = 2
CLIPPED_HIGHLIGHT: Final = 253
"""Luma of 255: JPEG moves a clipped pixel by one or two."""
UNDER_BELOW: Final = 0.2
OVER_ABOVE: Final = 0.8
"""Mean luma: middle grey is 0.46 in sRGB; two stops less is 0.23, one stop more 0.63. Snow or
night are exposed so on purpose: the verdict is about the pixels, not about the intent."""

MAX_DETECTORS: Final = 16

DetectorName = Literal["labels", "faces", "unsafe", "objects"]


class DetectParameters(Parameters):
    """What is looked for, in which rendition, and what counts as found.

    Larger renditions show smaller faces. ``detectors`` are those that are wanted; one whose
    model is missing says so. Scores are 0 to 1: ``min_label`` of one of 1000 classes,
    ``min_group`` of a group of them, ``min_face``, ``min_object``. Unsafe content is ``ok``
    below ``review``, and ``block`` from ``block`` on. ``colours`` is the most that are told.
    Lower bounds keep noise out of the search.
    """

    rendition: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] = "1280"
    detectors: Annotated[tuple[DetectorName, ...], Field(max_length=MAX_DETECTORS)] = (
        "labels",
        "faces",
        "unsafe",
        "objects",
    )
    min_label: Annotated[float, Field(ge=0.05, le=1)] = 0.15
    min_group: Annotated[float, Field(ge=0.1, le=1)] = 0.4
    min_face: Annotated[float, Field(ge=0.5, le=1)] = 0.9
    review: Annotated[float, Field(ge=0.01, le=1)] = 0.2
    block: Annotated[float, Field(ge=0.01, le=1)] = 0.8
    min_object: Annotated[float, Field(ge=0.1, le=1)] = 0.5
    colours: Annotated[int, Field(ge=1, le=MAX_COLOURS)] = 5

    @field_validator("detectors")
    @classmethod
    def _once_each(cls, detectors: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(detectors)) < len(detectors):
            msg = "detectors must differ from each other"
            raise ValueError(msg)
        return detectors

    @model_validator(mode="after")
    def _bands_in_order(self) -> Self:
        if self.review > self.block:
            msg = "review must not be above block"
            raise ValueError(msg)
        return self

    @property
    def wanted(self) -> Mapping[str, Thresholds]:
        """Return the thresholds of each detector that is wanted."""
        every: dict[DetectorName, Thresholds] = {
            "labels": {"label": self.min_label, "group": self.min_group},
            "faces": {"score": self.min_face},
            "unsafe": {"review": self.review, "block": self.block},
            "objects": {"score": self.min_object},
        }
        return {name: every[name] for name in self.detectors}


def detect(inputs: Mapping[str, bytes], parameters: DetectParameters) -> Output:
    """Return facts about the photo; nothing is claimed that was not looked for.

    From models, each only if its detector ran: ``labels`` and ``groups`` (name, score),
    ``faces`` (box, score, landmarks), ``unsafe`` (score, band), ``objects`` (label, score,
    box). ``detectors`` says of every detector ``status`` (``run``, ``not_run`` or ``failed``,
    with ``reason``), ``version``, ``model_sha256`` and ``thresholds``. Boxes are left, top,
    width and height, points x and y, in fractions of the displayed picture.

    From the pixels: ``colours`` (hex, share, name), ``sharpness``, ``exposure``,
    ``perceptual_hash`` and ``dct_hash`` (algorithm, value). Transparent pixels (alpha below
    one half) do not count for colours and exposure; for all else the photo lies on middle grey.

    A detector that fails on a photo does not fail the photo: the others' word is worth having,
    and another try would fail alike. Raises UnreadableImageError, TooManyPixelsError and
    MemoryError.
    """
    large = open_upright(inputs[parameters.rendition], LOOK_SIDE)
    found = look(_on_grey(large), parameters.wanted)
    image = shrink(large, fit(large.size, WORK_SIDE))
    visible = _visible(image)
    flat = _on_grey(image)
    luma = flat.convert("L")
    return Output(
        facts={
            **found.facts,
            "colours": [
                {"hex": colour.code, "share": round(colour.share, 4), "name": colour.name}
                for colour in dominant_colours(flat, visible, parameters.colours)
            ],
            "sharpness": _sharpness(luma),
            "exposure": _exposure(luma, visible),
            "perceptual_hash": {"algorithm": "dhash64", "value": dhash(luma)},
            "dct_hash": {"algorithm": "phash64", "value": phash(luma)},
            "detectors": found.reports,
        },
        timings_ms=found.timings_ms,
    )


def _visible(image: Image.Image) -> Image.Image | None:
    """Return a mask (0 or 255) of the visible pixels; None if all are, or not one is."""
    if image.mode != "RGBA":
        return None
    mask = image.getchannel("A").point(lambda alpha: 255 if alpha >= OPAQUE else 0)
    return mask if mask.getextrema() == (0, 255) else None


def _on_grey(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    flat = Image.new("RGB", image.size, GREY)
    flat.paste(image, mask=image)
    return flat


def _sharpness(luma: Image.Image) -> dict[str, Any]:
    """Return the variance of the Laplacian and a verdict: sharp, soft or blurred.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (ICPR 2000), with the
    four-neighbour kernel, over all pixels but the border. Pillow clips negative results, so
    they are taken from the negated kernel; beyond +-255 both saturate, where sharp is certain.
    """
    if min(luma.size) < 3:  # noqa: PLR2004  # no pixel has all neighbours
        return {"variance_of_laplacian": 0.0, "verdict": "blurred"}
    inner = (1, 1, luma.width - 1, luma.height - 1)
    sides = [
        ImageStat.Stat(luma.filter(ImageFilter.Kernel((3, 3), kernel, scale=1)).crop(inner))
        for kernel in (LAPLACIAN, tuple(-weight for weight in LAPLACIAN))
    ]
    count = sides[0].count[0]
    mean = (sides[0].sum[0] - sides[1].sum[0]) / count
    variance = (sides[0].sum2[0] + sides[1].sum2[0]) / count - mean**2
    verdict = "sharp" if variance >= SOFT_BELOW else "soft"
    if variance < BLURRED_BELOW:
        verdict = "blurred"
    return {"variance_of_laplacian": round(variance, 2), "verdict": verdict}


def _exposure(luma: Image.Image, visible: Image.Image | None) -> dict[str, Any]:
    """Return mean luma (0 to 1), the shares of clipped pixels and a verdict.

    Luma is Rec. ITU-R BT.601 on sRGB values, as Pillow converts to L.
    """
    histogram = luma.histogram(visible)
    count = sum(histogram)
    mean = sum(value * pixels for value, pixels in enumerate(histogram)) / (255 * count)
    verdict = "under" if mean < UNDER_BELOW else "over" if mean > OVER_ABOVE else "normal"
    return {
        "mean": round(mean, 4),
        "clipped_shadows": round(sum(histogram[: CLIPPED_SHADOW + 1]) / count, 4),
        "clipped_highlights": round(sum(histogram[CLIPPED_HIGHLIGHT:]) / count, 4),
        "verdict": verdict,
    }


def _complete(facts: Mapping[str, Any]) -> bool:
    """Return whether a detector that did not look would not look now either.

    What was not installed may be by now, an object model may have been given, and what failed
    may be well.
    """
    now = {detector.name: detector.available() for detector in DETECTORS}
    return all(
        report["status"] == "run" or report.get("reason") in {NOT_WANTED, now.get(name)}
        for name, report in facts["detectors"].items()
    )


def _reads(parameters: DetectParameters) -> tuple[str, ...]:
    return (parameters.rendition,)


STAGE: Final = Stage(
    version=2,
    parameters=DetectParameters,
    transform=detect,
    reads=_reads,
    warm=warm,
    complete=_complete,
)
