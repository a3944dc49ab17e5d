"""Which objects are where: whatever detector of the YOLO family the operator has chosen."""

from ast import literal_eval
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from photo_pipeline.detectors.detector import (
    SCORE_DIGITS,
    Facts,
    Loaded,
    ModelDetector,
    Thresholds,
    once,
)
from photo_pipeline.inference.boxes import as_fractions, suppress
from photo_pipeline.inference.layouts import Layout, recognise
from photo_pipeline.inference.model import Unavailable, missing_runtime, read_file
from photo_pipeline.inference.object_model import GIVEN
from photo_pipeline.inference.session import Array, Session, open_session, run

NO_MODEL: Final = "no model given"
USUAL_SIDE: Final = 640
"""Input side in pixels of a model that takes any size."""
MAX_OBJECTS: Final = 100
"""That a status document has room for."""
OVERLAP: Final = 0.5
"""From which two boxes of a class are one object, as usual for COCO."""
RGB: Final = 3
FLOAT: Final = "tensor(float)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSight:
    """A model that is ready, and all that was found out about it."""

    session: Session
    layout: Layout
    names: tuple[str, ...]
    side: int
    rows_first: bool
    """Pixels as rows x columns x RGB, not RGB x rows x columns."""


def look(sight: ObjectSight, picture: Image.Image, thresholds: Thresholds) -> Facts:
    """Return ``objects``, surest first: label, score (0 to 1) and box."""
    factor = sight.side / max(picture.size)
    inner = tuple(max(1, round(side * factor)) for side in picture.size)
    at = ((sight.side - inner[0]) // 2, (sight.side - inner[1]) // 2)
    square = Image.new("RGB", (sight.side, sight.side), (sight.layout.padding,) * RGB)
    square.paste(
        picture.resize((inner[0], inner[1]), Image.Resampling.BILINEAR, reducing_gap=2), at
    )
    outputs = run(sight.session, _fed(sight, np.asarray(square, np.float32)))
    found = sight.layout.decode(outputs, sight.side, len(sight.names))
    sure = found.scores >= thresholds["score"]
    boxes, scores, classes = found.boxes[sure], found.scores[sure], found.classes[sure]
    # Each class far from the others, so that only boxes of one class meet.
    apart = boxes + classes[:, None].astype(np.float32) * (4 * sight.side)
    shown = boxes - np.tile(np.asarray(at, np.float32), 2)
    return {
        "objects": [
            {
                "label": sight.names[int(classes[i])],
                "score": round(float(scores[i]), SCORE_DIGITS),
                "box": as_fractions(shown[i], (inner[0], inner[1])),
            }
            for i in suppress(apart, scores, OVERLAP, most=MAX_OBJECTS)
        ]
    }


def _fed(sight: ObjectSight, pixels: Array) -> Array:
    fed = sight.layout.feed(pixels)
    ordered = fed if sight.rows_first else fed.transpose(2, 0, 1)
    return np.ascontiguousarray(ordered[None], np.float32)


def open_objects(path: Path, labels: Path | None) -> Loaded[ObjectSight] | Unavailable:
    """Return the detector at *path*, tried out, or why it is none that is known.

    The names of the classes are those of *labels*, else those in the model (as Ultralytics
    writes them), else those of COCO.
    """
    read = read_file(path)
    if isinstance(read, Unavailable):
        return read
    data, sha256 = read
    session = open_session(data)
    wanted = session.get_inputs()
    if len(wanted) != 1 or len(wanted[0].shape) != 4 or wanted[0].type != FLOAT:  # noqa: PLR2004  # batch, rows, columns, RGB
        given = ", ".join(f"{each.type} {each.shape}" for each in wanted)
        return Unavailable(f"the object model takes {given}, not one picture in float32")
    rows_first = wanted[0].shape[3] == RGB
    told = wanted[0].shape[1 if rows_first else 2]
    side = told if isinstance(told, int) else USUAL_SIDE
    blank = np.zeros((1, side, side, RGB) if rows_first else (1, RGB, side, side), np.float32)
    shapes = [tuple(output.shape) for output in run(session, blank)]
    names = _names(session, labels)
    layout = recognise(shapes, len(names), side)
    if layout is None:
        return Unavailable(
            f"unknown layout of the object model: outputs {[list(s) for s in shapes]} for "
            f"{len(names)} classes at {side} pixels"
        )
    sight = ObjectSight(
        session=session, layout=layout, names=names, side=side, rows_first=rows_first
    )
    return Loaded(sight, sha256)


def _names(session: Session, labels: Path | None) -> tuple[str, ...]:
    if labels is not None:
        text = labels.read_text(encoding="utf-8")
    elif told := session.get_modelmeta().custom_metadata_map.get("names"):
        named: Any = literal_eval(told)  # a list, or a dictionary by number
        return tuple(map(str, named.values() if isinstance(named, dict) else named))
    else:
        text = files(__package__).joinpath("coco.txt").read_text(encoding="utf-8")
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _missing() -> Unavailable | None:
    if GIVEN.model is None:
        return Unavailable(NO_MODEL)
    return missing_runtime() or (
        None if GIVEN.model.is_file() else Unavailable("model file missing")
    )


def _load() -> Loaded[ObjectSight] | Unavailable:
    if GIVEN.model is None:
        return Unavailable(NO_MODEL)
    return missing_runtime() or open_objects(GIVEN.model, GIVEN.labels)


OBJECTS: Final = ModelDetector(
    name="objects", version=1, missing=_missing, load=once(_load), look=look
)
