"""Boxes as rows of left, top, right and bottom."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]

FRACTION_DIGITS: Final = 4
"""A tenth of a pixel of 1280: models of this size are not more exact."""
LOOKED_AT: Final = 10
"""Boxes for each one that may be kept: noise has tens of thousands, and time is the product."""
TINY: Final = np.finfo(np.float32).tiny


def suppress(
    boxes: Boxes, scores: Boxes, overlap: float, *, most: int, of_smaller: bool = False
) -> list[int]:
    """Return the rows to keep, best first: of those that overlap by more, only the best.

    Greedy non-maximum suppression that keeps *most* at most. The overlap is intersection over
    union, or over the smaller of both areas.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    # Stable: equal scores keep their order on every machine.
    order = np.argsort(-scores, kind="stable")[: LOOKED_AT * most]
    kept: list[int] = []
    while order.size and len(kept) < most:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        common = np.clip(high - low, 0, None).prod(1)
        other = area[rest]
        whole = np.minimum(area[best], other) if of_smaller else area[best] + other - common
        order = rest[common / np.maximum(whole, TINY) <= overlap]
    return kept


def squared(boxes: Boxes) -> Boxes:
    """Return the squares around the same centres with the longer side of each box."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], 1)


def as_fractions(box: Boxes, size: tuple[int, int]) -> list[float]:
    """Return left, top, width and height of *box* in fractions of a picture of *size*.

    Cut off at the picture's edges.
    """
    left, top, right, bottom = np.clip(box / np.tile(np.asarray(size, np.float32), 2), 0, 1)
    return [round(float(v), FRACTION_DIGITS) for v in (left, top, right - left, bottom - top)]
