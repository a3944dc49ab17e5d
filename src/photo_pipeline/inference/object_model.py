"""Which object model this process was given: the operator's choice, told once at its start."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(slots=True)
class ObjectModel:
    """Paths of an ONNX file and of the names of its classes, one a line."""

    model: Path | None = None
    labels: Path | None = None


GIVEN: Final = ObjectModel()


def use_object_model(model: Path | None, labels: Path | None) -> None:
    """Look for objects, in this process and from now on, with the detector at *model*."""
    GIVEN.model, GIVEN.labels = model, labels
