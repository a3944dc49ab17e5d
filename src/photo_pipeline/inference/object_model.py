"""Which object model this process was given: the operator's choice, told once at its start."""

import hashlib
from dataclasses import dataclass
from functools import cache
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


def given_sha256() -> str | None:
    """Return the SHA-256 of the object model, None without one that can be read."""
    try:
        return None if GIVEN.model is None else _sha256(GIVEN.model)
    except OSError:
        return None


@cache
def _sha256(path: Path) -> str:
    """Return it as it was at the first call: the children keep what they have loaded, too."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
