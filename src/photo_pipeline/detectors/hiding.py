"""Find the faces that must not be shown: a miss is worse here than a false alarm."""

from dataclasses import dataclass
from typing import Final

from PIL import Image

from photo_pipeline.detectors.faces import CLOSE, CLOSELY
from photo_pipeline.detectors.registry import look
from photo_pipeline.domain.stage import Box
from photo_pipeline.errors import BlurUnavailableError
from photo_pipeline.imaging.scale import larger

ENLARGED_TO: Final = 1024
"""Longest side in pixels: in a thumbnail of 320, faces from some 8 pixels on are found then, else
from 12. People are known by 7 x 10 pixels to those who know them: Sinha, Balas, Ostrovsky and
Russell, "Face recognition by humans: nineteen results" (2006)."""


@dataclass(frozen=True, slots=True)
class ToHide:
    """Boxes of faces in fractions of the picture, and the CPU milliseconds of finding them."""

    faces: tuple[Box, ...]
    cost_ms: float


def faces_to_hide(picture: Image.Image, score: float) -> ToHide:
    """Return every face in an upright RGB picture from *score* on.

    Of 12 pixels' width and more, where the picture has up to 2048; in larger ones from 0.6 % of
    the longest side on. Raises BlurUnavailableError if nothing could look, or there are more
    faces than are looked for; MemoryError.
    """
    found = look(larger(picture, ENLARGED_TO), {CLOSELY.name: {"score": score}}, (CLOSELY,))
    report = found.reports[CLOSELY.name]
    if report["status"] != "run":
        raise BlurUnavailableError(f"no face can be looked for: {report['reason']}")
    faces = tuple(tuple(face["box"]) for face in found.facts["faces"])
    if len(faces) >= CLOSE.faces:
        raise BlurUnavailableError(f"there are {len(faces)} faces or more")
    return ToHide(faces, found.timings_ms[CLOSELY.name])
