"""What of a picture stays when it fills a box of another shape."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from photo_pipeline.domain.stage import Box
from photo_pipeline.imaging.saliency import Map
from photo_pipeline.imaging.scale import Region

WHOLE: Final[Region] = (0.0, 0.0, 1.0, 1.0)

STEPS: Final = 200
"""Positions that are compared: half a percent of what there is to choose from each."""
NEARLY: Final = 0.999
"""Of the best position's interest: of those that come so near, the one next to the centre."""


def crop_region(
    size: tuple[int, int],
    shape: tuple[int, int],
    *,
    focal_point: tuple[float, float] | None = None,
    faces: Sequence[Box] = (),
    interest: Map | None = None,
) -> Region:
    """Return the largest region of the proportions of *shape* in a picture of *size*.

    In fractions of the picture: left, top, right, bottom. Its centre is as near to the
    *focal_point* (x, y in fractions) as the picture allows; else it holds the *faces*, at
    least the largest; else most of the *interest* (a map of the picture, rows of shares); else
    it is in the middle.
    """
    width, height = _extent(size, shape)
    across = 1 - width > 1 - height  # at most one direction has room
    extent = width if across else height
    if focal_point is not None:
        start = focal_point[0 if across else 1] - extent / 2
    elif faces:
        start = _around(faces, extent, across=across)
    elif interest is not None:
        start = _most_interesting(interest, extent, across=across)
    else:
        start = (1 - extent) / 2
    start = min(max(start, 0.0), 1 - extent)
    return (start, 0.0, start + extent, 1.0) if across else (0.0, start, 1.0, start + extent)


def _extent(size: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float]:
    """Return width and height of the largest region, one of them 1."""
    wanted, there = shape[0] * size[1], shape[1] * size[0]
    return (wanted / there, 1.0) if wanted < there else (1.0, there / wanted)


def _around(faces: Sequence[Box], extent: float, *, across: bool) -> float:
    """Return where a region of *extent* begins that holds all *faces*, or the largest."""
    largest = max(faces, key=lambda box: box[2] * box[3])
    axis = 0 if across else 1
    first = min(box[axis] for box in faces)
    last = max(box[axis] + box[axis + 2] for box in faces)
    if last - first > extent:
        first, last = largest[axis], largest[axis] + largest[axis + 2]
    return (first + last) / 2 - extent / 2


def _most_interesting(interest: Map, extent: float, *, across: bool) -> float:
    """Return where the region of *extent* begins that has most of the interest."""
    shares = interest.sum(axis=0 if across else 1)
    edges = np.linspace(0, 1, len(shares) + 1)
    up_to = np.concatenate([[0.0], np.cumsum(shares)])
    starts = np.linspace(0, 1 - extent, STEPS + 1)
    held = np.interp(starts + extent, edges, up_to) - np.interp(starts, edges, up_to)
    good = starts[held >= NEARLY * held.max()]
    middle = (1 - extent) / 2
    return float(good[np.abs(good - middle).argmin()])
