"""The detectors, and the one way in which they look at a picture."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from PIL import Image

from photo_pipeline.detectors.detector import Detector, Thresholds
from photo_pipeline.detectors.faces import FACES
from photo_pipeline.detectors.labels import LABELS
from photo_pipeline.detectors.objects import NO_MODEL, OBJECTS
from photo_pipeline.detectors.unsafe import UNSAFE
from photo_pipeline.inference.model import NOT_INSTALLED
from photo_pipeline.inference.object_model import given_sha256

DETECTORS: Final[tuple[Detector, ...]] = (LABELS, FACES, UNSAFE, OBJECTS)

NOT_WANTED: Final = "not wanted"
INSTALL: Final = "pip install 'photo-pipeline[detect]'"
MAX_REASON: Final = 300
"""A sentence; onnxruntime can tell the whole graph."""


@dataclass(slots=True)
class Findings:
    """Facts by name, a report by detector, and CPU milliseconds by detector."""

    facts: dict[str, Any] = field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    timings_ms: dict[str, float] = field(default_factory=dict)


def warm() -> None:
    """Load every model that there is."""
    for detector in DETECTORS:
        detector.warm()


def missing() -> dict[str, str]:
    """Return why a detector cannot look, and what helps, by name.

    That no object model was given is the operator's choice.
    """
    reasons = {detector.name: detector.available() for detector in DETECTORS}
    return {
        name: f"{reason}: {INSTALL}" if reason == NOT_INSTALLED else reason
        for name, reason in reasons.items()
        if reason and reason != NO_MODEL
    }


def chosen(wanted: Collection[str]) -> dict[str, str]:
    """Return the SHA-256 of the models that the operator chose for *wanted* detectors, by name.

    The models of packages never change without the version of their detector.
    """
    sha256 = given_sha256() if OBJECTS.name in wanted else None
    return {OBJECTS.name: sha256} if sha256 else {}


def look(
    picture: Image.Image,
    wanted: Mapping[str, Thresholds],
    detectors: tuple[Detector, ...] = DETECTORS,
) -> Findings:
    """Let the *wanted* detectors, by name with their thresholds, look at an upright RGB picture.

    A report says ``run``, ``not_run`` or ``failed``. Facts are there only from those that ran:
    a name that is missing was not looked for, and an empty list is a finding. Raises
    MemoryError.
    """
    found = Findings()
    for detector in detectors:
        thresholds = wanted.get(detector.name)
        found.reports[detector.name] = (
            {"status": "not_run", "reason": NOT_WANTED}
            if thresholds is None
            else _look(detector, picture, thresholds, found)
        )
    return found


def _look(
    detector: Detector, picture: Image.Image, thresholds: Thresholds, found: Findings
) -> dict[str, Any]:
    """Add what *detector* finds, and return its report."""
    if absent := detector.warm():
        return {"status": "not_run", "reason": absent.reason[:MAX_REASON]}
    known = {
        "version": detector.version,
        "model_sha256": detector.sha256,
        "thresholds": dict(thresholds),
    }
    started = time.process_time()
    try:
        facts = detector.detect(picture, thresholds)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  # the photo goes on, and says what it lacks
        reason = f"{type(error).__name__}: {error}"[:MAX_REASON]
        return {"status": "failed", "reason": reason, **known}
    found.timings_ms[detector.name] = round((time.process_time() - started) * 1000, 1)
    found.facts |= facts
    return {"status": "run", **known}
