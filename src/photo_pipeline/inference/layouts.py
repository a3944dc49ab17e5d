"""How object detectors of the YOLO family want their pixels and lay out their answers.

The layout is told by the shapes of the outputs alone; ``recognise`` has the list.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from photo_pipeline.inference.boxes import Boxes
from photo_pipeline.inference.session import Array

BLACK, GREY = 0, 114
"""What fills the rest of the square, as trained."""
MEAN: Final = np.array([103.53, 116.28, 123.675], np.float32)
DEVIATION: Final = np.array([57.375, 57.12, 58.395], np.float32)
"""Of NanoDet: blue, green, red."""
STRIDES, MORE_STRIDES = (8, 16, 32), (8, 16, 32, 64)
ANCHORS: Final = 3
"""Answers of YOLOv5 and v7 for each cell."""
MAX_END_TO_END: Final = 1000
"""Rows of a model that sorts out its boxes itself; usual are 100 to 300."""
LARGEST_FRACTION: Final = 2.0
"""A box in fractions of the picture hangs over its edges by less; one in pixels is larger."""
LARGEST_LOGARITHM: Final = 20.0
"""Sizes that YOLOX has not decoded are logarithms; decoded, they are pixels."""
SIDES: Final = 4
"""Of a box: as distances in NanoDet, as numbers elsewhere."""

Shapes = Sequence[tuple[int, ...]]


class Objects(NamedTuple):
    """Boxes in pixels of the square input, with score and number of the class of each."""

    boxes: Boxes
    scores: Array
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One family: how it is fed, and ``decode(outputs, side, classes)`` for what it gives."""

    name: str
    padding: int
    feed: Callable[[Array], Array]
    decode: Callable[[Sequence[Array], int, int], Objects]


def recognise(  # noqa: PLR0911  # a table
    shapes: Shapes, classes: int, side: int
) -> Layout | None:
    """Return the layout of outputs of these *shapes* for an input of *side* x *side* pixels.

    ========  =====================================================  =========================
    layout    outputs; C classes, one row for each cell of strides   pixels
    ========  =====================================================  =========================
    nanodet   for each of 8, 16, 32: [1, n*n, C] and [1, n*n, 4 R]   BGR, mean and deviation
    nanodet+  [1, cells of 8 to 64, C + 4 R]                         BGR, mean and deviation
    yolov8    [1, 4 + C, N] (v8, v9, 11)                             RGB, 0 to 1
    yolov10   [1, K, 6], K at most 1000 (v10, 26, "end to end")      RGB, 0 to 1
    yolox     [1, cells of 8 to 32, 5 + C]                           BGR, 0 to 255
    yolov5    [1, 3 times the cells of 8 to 32 or 64, 5 + C] (v7)    RGB, 0 to 1
    ========  =====================================================  =========================
    """
    few, many = len(_cells(side, STRIDES)), len(_cells(side, MORE_STRIDES))
    if len(shapes) == 2 * len(STRIDES) and all(len(shape) == 3 for shape in shapes):  # noqa: PLR2004  # batch, row, number
        return NANODET if _pairs_up(shapes, classes, side) else None
    match tuple(shapes[0]) if shapes else ():
        case (1, rows, width) if width == 5 + classes and rows == few:
            return YOLOX
        case (1, rows, width) if width == 5 + classes and rows in {ANCHORS * few, ANCHORS * many}:
            return YOLOV5
        case (1, rows, width) if rows == SIDES + classes and width > rows:
            return YOLOV8
        case (1, rows, 6) if rows <= MAX_END_TO_END:
            return YOLOV10
        case (1, rows, width) if rows == many and _is_distances(width - classes):
            return NANODET_PLUS
    return None


def _is_distances(width: int) -> bool:
    return width > SIDES and width % SIDES == 0


def _pairs_up(shapes: Shapes, classes: int, side: int) -> bool:
    found = sorted((rows, width) for _, rows, width in shapes)
    counts = [len(_cells(side, (stride,))) for stride in STRIDES]
    widths = {width for _, width in found} - {classes}
    (distances,) = widths if len(widths) == 1 else (0,)
    expected = sorted((count, w) for count in counts for w in (classes, distances))
    return _is_distances(distances) and found == expected


def _cells(side: int, strides: Sequence[int]) -> Array:
    """Return column, row and stride of every cell."""
    cells = []
    for stride in strides:
        count = -(-side // stride)
        rows, columns = np.mgrid[:count, :count]
        cells.append(np.stack([columns.ravel(), rows.ravel(), np.full(count * count, stride)], 1))
    return np.concatenate(cells).astype(np.float32)


def _best(boxes: Array, scores: Array) -> Objects:
    return Objects(boxes, scores.max(1), scores.argmax(1).astype(np.int64))


def _from_centres(boxes: Array, side: int) -> Boxes:
    """Return corners for centres and sizes; some exports tell them in fractions."""
    if len(boxes) and boxes.max() <= LARGEST_FRACTION:
        boxes = boxes * np.float32(side)
    half = boxes[:, 2:4] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], 1)


def _yolov8(outputs: Sequence[Array], side: int, _: int) -> Objects:
    rows = outputs[0][0].T
    return _best(_from_centres(rows[:, :SIDES], side), rows[:, SIDES:])


def _yolov5(outputs: Sequence[Array], side: int, _: int) -> Objects:
    rows = outputs[0][0]
    return _best(_from_centres(rows[:, :SIDES], side), rows[:, 5:] * rows[:, 4:5])


def _yolox(outputs: Sequence[Array], side: int, _: int) -> Objects:
    rows = outputs[0][0]
    centres, sizes = rows[:, :2], rows[:, 2:4]
    if np.abs(sizes).max() < LARGEST_LOGARITHM:
        cells = _cells(side, STRIDES)
        centres = (centres + cells[:, :2]) * cells[:, 2:]
        sizes = np.exp(sizes) * cells[:, 2:]
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1)
    return _best(boxes, rows[:, 5:] * rows[:, 4:5])


def _yolov10(outputs: Sequence[Array], side: int, classes: int) -> Objects:
    rows = outputs[0][0]
    boxes, numbers = rows[:, :SIDES], np.rint(rows[:, 5]).astype(np.int64)
    if len(boxes) and boxes.max() <= LARGEST_FRACTION:
        boxes = boxes * np.float32(side)
    known = (numbers >= 0) & (numbers < classes)  # a row without an object may say -1
    return Objects(boxes[known], rows[known, 4], numbers[known])


def _nanodet(outputs: Sequence[Array], side: int, classes: int) -> Objects:
    ordered = sorted(outputs, key=lambda output: -output.shape[1])
    scores = np.concatenate([output[0] for output in ordered if output.shape[2] == classes])
    distances = np.concatenate([output[0] for output in ordered if output.shape[2] != classes])
    cells = _cells(side, STRIDES)
    return _best(_from_distances((cells[:, :2] + 0.5) * cells[:, 2:], distances, cells), scores)


def _nanodet_plus(outputs: Sequence[Array], side: int, classes: int) -> Objects:
    rows = outputs[0][0]
    cells = _cells(side, MORE_STRIDES)
    boxes = _from_distances(cells[:, :2] * cells[:, 2:], rows[:, classes:], cells)
    return _best(boxes, rows[:, :classes])


def _from_distances(centres: Array, distances: Array, cells: Array) -> Boxes:
    """Return boxes from distributions of the distance to each side (Li et al. 2020)."""
    bins = distances.reshape(len(distances), SIDES, -1)
    weights = np.exp(bins - bins.max(2, keepdims=True))
    weights /= weights.sum(2, keepdims=True)
    sides = (weights * np.arange(bins.shape[2], dtype=np.float32)).sum(2) * cells[:, 2:]
    return np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], 1)


def _normalised(pixels: Array) -> Array:
    return (pixels[..., ::-1] - MEAN) / DEVIATION


def _reversed(pixels: Array) -> Array:
    return pixels[..., ::-1]


def _to_one(pixels: Array) -> Array:
    return pixels / np.float32(255)


NANODET: Final = Layout(name="nanodet", padding=BLACK, feed=_normalised, decode=_nanodet)
NANODET_PLUS: Final = Layout(name="nanodet+", padding=BLACK, feed=_normalised, decode=_nanodet_plus)
YOLOV5: Final = Layout(name="yolov5", padding=GREY, feed=_to_one, decode=_yolov5)
YOLOV8: Final = Layout(name="yolov8", padding=GREY, feed=_to_one, decode=_yolov8)
YOLOV10: Final = Layout(name="yolov10", padding=GREY, feed=_to_one, decode=_yolov10)
YOLOX: Final = Layout(name="yolox", padding=GREY, feed=_reversed, decode=_yolox)
