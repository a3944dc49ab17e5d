"""Tiny object detectors, one for each layout, that always find the same."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photo_pipeline.inference import onnx

SIDE: Final = 64
CLASSES: Final = ("ant", "bee", "cat")
NUMBER: Final = 1
"""Of the class that they find."""
SCORE: Final = 0.75
BOX: Final = (20.0, 20.0, 52.0, 52.0)
"""Left, top, right and bottom in pixels of the square."""

_CENTRE, _SIZE = 36.0, 32.0
_ROW: Final = 4 * 8 + 4
"""The cell of stride 8 that lies around, or begins left above, the centre."""
_BINS: Final = 8

Numbers = NDArray[np.float32]


def always(
    *outputs: Numbers,
    shape: Sequence[onnx.Dimension] = (1, 3, SIDE, SIDE),
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Return a model that gives *outputs* whatever it sees."""
    names = [f"y{i}" for i in range(len(outputs))]
    return onnx.model(
        name="always",
        nodes=[onnx.node("Identity", [f"of-{name}"], name) for name in names],
        tensors=[onnx.tensor(f"of-{n}", o) for n, o in zip(names, outputs, strict=True)],
        inputs=[onnx.value("x", shape)],
        outputs=[onnx.value(n, o.shape) for n, o in zip(names, outputs, strict=True)],
        metadata={"names": str(dict(enumerate(CLASSES)))} if metadata is None else metadata,
    )


def _empty(*shape: int) -> Numbers:
    return np.zeros(shape, np.float32)


def _scores() -> Numbers:
    out = _empty(len(CLASSES))
    out[NUMBER] = SCORE
    return out


def yolov8(unit: float = 1) -> tuple[Numbers, ...]:
    """Return centres and sizes in pixels, or in fractions with a *unit* of SIDE."""
    out = _empty(1, 4 + len(CLASSES), 84)
    out[0, :4, 7] = np.array([_CENTRE, _CENTRE, _SIZE, _SIZE]) / unit
    out[0, 4:, 7] = _scores()
    return (out,)


def yolov5(unit: float = 1, rows: int = 252) -> tuple[Numbers, ...]:
    out = _empty(1, rows, 5 + len(CLASSES))
    out[0, 100, :4] = np.array([_CENTRE, _CENTRE, _SIZE, _SIZE]) / unit
    out[0, 100, 4], out[0, 100, 5:] = 1, _scores()
    return (out,)


def yolox() -> tuple[Numbers, ...]:
    return (yolov5()[0][:, 50 : 50 + 84],)


def yolox_raw() -> tuple[Numbers, ...]:
    """Return offsets to a cell and logarithms of sizes, in strides."""
    out = _empty(1, 84, 5 + len(CLASSES))
    out[0, _ROW, :4] = [0.5, 0.5, np.log(_SIZE / 8), np.log(_SIZE / 8)]
    out[0, _ROW, 4], out[0, _ROW, 5:] = 1, _scores()
    return (out,)


def yolov10(unit: float = 1) -> tuple[Numbers, ...]:
    out = _empty(1, 10, 6)
    out[0, :, 5] = -1
    out[0, 2] = [*(edge / unit for edge in BOX), SCORE, NUMBER]
    return (out,)


def _distances(centre: float) -> Numbers:
    """Return a distribution for each side whose mean is its distance, in strides of 8."""
    left, top, right, bottom = BOX
    out = np.full((4, _BINS), -50, np.float32)
    for side, pixels in enumerate((centre - left, centre - top, right - centre, bottom - centre)):
        out[side, [int(np.floor(pixels / 8)), int(np.ceil(pixels / 8))]] = 50
    return out.ravel()


def nanodet() -> tuple[Numbers, ...]:
    outs: list[Numbers] = []
    for count in (4, 64, 16):  # in no order
        scores, sides = _empty(1, count, len(CLASSES)), _empty(1, count, 4 * _BINS)
        if count == 64:
            scores[0, _ROW], sides[0, _ROW] = _scores(), _distances(_CENTRE)
        outs += [sides, scores]
    return tuple(outs)


def nanodet_plus() -> tuple[Numbers, ...]:
    out = _empty(1, 85, len(CLASSES) + 4 * _BINS)
    out[0, _ROW] = np.concatenate([_scores(), _distances(_CENTRE - 4)])
    return (out,)


LAYOUTS: Final[Mapping[str, tuple[str, tuple[Numbers, ...]]]] = {
    "yolov8": ("yolov8", yolov8()),
    "yolov8 in fractions": ("yolov8", yolov8(SIDE)),
    "yolov5": ("yolov5", yolov5()),
    "yolov5 in fractions": ("yolov5", yolov5(SIDE)),
    "yolov5 of four strides": ("yolov5", yolov5(rows=255)),
    "yolox": ("yolox", yolox()),
    "yolox, not decoded": ("yolox", yolox_raw()),
    "yolov10": ("yolov10", yolov10()),
    "yolov10 in fractions": ("yolov10", yolov10(SIDE)),
    "nanodet": ("nanodet", nanodet()),
    "nanodet+": ("nanodet+", nanodet_plus()),
}
"""Each documented layout: its name, and the outputs."""
