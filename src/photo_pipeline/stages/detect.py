"""Say what can be said about the photo: what is in it, colours, sharpness, exposure, hashes."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from PIL import Image
from pydantic import Field, field_validator, model_validator

from photo_pipeline.detectors.detector import Thresholds
from photo_pipeline.detectors.hiding import faces_to_hide
from photo_pipeline.detectors.registry import DETECTORS, NOT_WANTED, chosen, look, missing, warm
from photo_pipeline.domain.encoding import Encoding
from photo_pipeline.domain.moderation import UNSAFE
from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.stage import ORIGINAL, PLACEHOLDER, Output, Parameters, Picture, Stage
from photo_pipeline.imaging.blur import hide
from photo_pipeline.imaging.encode import encode, like
from photo_pipeline.imaging.exposure import exposure
from photo_pipeline.imaging.fidelity import Made, Reference
from photo_pipeline.imaging.metadata import read_metadata
from photo_pipeline.imaging.modes import on_grey, visible_mask
from photo_pipeline.imaging.opening import open_upright
from photo_pipeline.imaging.palette import dominant_colours
from photo_pipeline.imaging.perceptual import dhash, phash
from photo_pipeline.imaging.receipts import Claim, certified, receipts
from photo_pipeline.imaging.scale import fit, shrink
from photo_pipeline.imaging.sharpness import sharpness

LOOK_SIDE: Final = 1280
"""Longest side in pixels of what the detectors get: they look at 1024 at most, and a preset
may name any rendition."""
WORK_SIDE: Final = 640
"""The same of the rest: sharpness depends on size, so it is fixed."""
MAX_NAME: Final = 64
"""Far above any rendition's name; bounds what is stored."""
MAX_COLOURS: Final = 16
"""A palette for a page has a handful; above, median cut splits noise."""
MAX_DETECTORS: Final = 16
MAX_RENDITIONS: Final = 16
"""As many as ``resize`` makes."""

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
DetectorName = Literal["labels", "faces", "unsafe", "objects"]


class DetectParameters(Parameters):
    """What is looked for, in which rendition, and what counts as found.

    Larger renditions show smaller faces. ``detectors`` are those that are wanted; one whose
    model is missing says so. Scores are 0 to 1: ``min_label`` of one of 1000 classes,
    ``min_group`` of a group of them, ``min_face``, ``min_object``. Unsafe content is ``ok``
    below ``review``, and ``block`` from ``block`` on. ``colours`` is the most that are told.
    Lower bounds keep noise out of the search.

    ``blur_faces`` names renditions of which a copy with blurred faces is made; with any, nothing
    else of the photo is served. Each is looked at by itself, closely, and whatever scores
    ``blur_score`` counts as a face: a blurred stone costs less than a face that is seen.
    ``blur_encoding`` with the format ``auto`` keeps that of the rendition.
    """

    rendition: Name = "1280"
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
    blur_faces: Annotated[tuple[Name, ...], Field(max_length=MAX_RENDITIONS)] = ()
    blur_score: Annotated[float, Field(ge=0.3, le=1)] = 0.6
    blur_encoding: Encoding = Encoding()

    @field_validator("detectors", "blur_faces")
    @classmethod
    def _once_each(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("names must differ from each other")
        return names

    @model_validator(mode="after")
    def _bands_in_order(self) -> Self:
        if self.review > self.block:
            msg = "review must not be above block"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _blurs_what_it_finds(self) -> Self:
        if ORIGINAL in self.blur_faces:
            raise ValueError(f"blur_faces is for renditions, not for the {ORIGINAL}")
        if self.blur_faces and "faces" not in self.detectors:
            raise ValueError("blur_faces takes faces among the detectors")
        if self.blur_faces and self.blur_score > self.min_face:
            raise ValueError("blur_score must not be above min_face")
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

    The pictures are those of ``blur_faces``, named ``<rendition>-blurred``, of the same size and
    with the same metadata, each with its receipt; of an animation the first frame, for a face
    that was missed in one of hundreds would be seen. ``blurred`` tells how many faces each hides.

    A detector that fails on a photo does not fail the photo: the others' word is worth having,
    and another try would fail alike. Only where faces must be blurred BlurUnavailableError is
    raised then; nothing is published. Raises also UnreadableImageError, TooManyPixelsError,
    MemoryError and the errors of ``certified``.
    """
    large = open_upright(inputs[parameters.rendition], LOOK_SIDE)
    found = look(on_grey(large), parameters.wanted)
    image = shrink(large, fit(large.size, WORK_SIDE))
    visible = visible_mask(image)
    flat = on_grey(image)
    luma = flat.convert("L")
    hidden = {name: _hidden(inputs[name], parameters) for name in parameters.blur_faces}
    return Output(
        pictures=_published(inputs, hidden, parameters),
        facts={
            **found.facts,
            "colours": [
                {"hex": colour.code, "share": round(colour.share, 4), "name": colour.name}
                for colour in dominant_colours(flat, visible, parameters.colours)
            ],
            "sharpness": sharpness(luma),
            "exposure": exposure(luma, visible),
            "perceptual_hash": {"algorithm": "dhash64", "value": dhash(luma)},
            "dct_hash": {"algorithm": "phash64", "value": phash(luma)},
            "detectors": found.reports,
            **({"blurred": {name: one.faces for name, one in hidden.items()}} if hidden else {}),
        },
        timings_ms={**found.timings_ms, **{_written(n): one.ms for n, one in hidden.items()}},
    )


def check(
    inputs: Mapping[str, bytes], outputs: Mapping[str, bytes], parameters: DetectParameters
) -> dict[str, Receipt]:
    """Return the receipts of stored renditions: each against its input, blurred anew."""
    claims = {}
    for name in parameters.blur_faces:
        if (data := outputs.get(_written(name))) is not None:
            shown = _hidden(inputs[name], parameters).image
            claims[_written(name)] = _claim(data, inputs[name], shown, parameters)
    return receipts(claims)


class Hidden(NamedTuple):
    """A picture that shows no face, how many it hides, and the CPU milliseconds of it."""

    image: Image.Image
    faces: int
    ms: float


def _hidden(data: bytes, parameters: DetectParameters) -> Hidden:
    image = open_upright(data)
    found = faces_to_hide(on_grey(image), parameters.blur_score)
    hide(image, found.faces)
    return Hidden(image, len(found.faces), found.cost_ms)


def _published(
    inputs: Mapping[str, bytes], hidden: Mapping[str, Hidden], parameters: DetectParameters
) -> tuple[Picture, ...]:
    pictures, claims = [], {}
    for name, one in hidden.items():
        encoding = like(inputs[name], parameters.blur_encoding)
        fields = read_metadata(inputs[name]).fields
        picture = encode(_written(name), one.image, encoding, fields)
        pictures.append(picture)
        claims[picture.name] = _claim(picture.data, inputs[name], one.image, parameters)
    return certified(pictures, claims)


def _claim(data: bytes, source: bytes, shown: Image.Image, parameters: DetectParameters) -> Claim:
    """Return what the rendition *data* should be: as *shown*, with all that *source* says."""
    metadata = read_metadata(source)
    made = Made(data, Reference(shown), background=parameters.blur_encoding.background)
    return Claim(made, metadata, metadata.fields)


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
    return tuple(dict.fromkeys((parameters.rendition, *parameters.blur_faces)))


def _ingredients(parameters: DetectParameters) -> Mapping[str, str]:
    return chosen(parameters.detectors)


def _written(name: str) -> str:
    return f"{name}-blurred"


def _writes(parameters: DetectParameters) -> tuple[str, ...]:
    return tuple(map(_written, parameters.blur_faces))


def _withholds(parameters: DetectParameters, earlier: tuple[str, ...]) -> tuple[str, ...]:
    # The placeholder too: of a face that fills the photo it has more cells than a blurred one.
    return (*earlier, PLACEHOLDER) if parameters.blur_faces else ()


def _judge(parameters: DetectParameters) -> str | None:
    return UNSAFE if UNSAFE in parameters.detectors else None


STAGE: Final = Stage(
    version=3,
    parameters=DetectParameters,
    transform=detect,
    reads=_reads,
    writes=_writes,
    withholds=_withholds,
    check=check,
    warm=warm,
    complete=_complete,
    ingredients=_ingredients,
    missing=missing,
    judge=_judge,
)
