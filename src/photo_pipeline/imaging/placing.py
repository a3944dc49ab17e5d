"""Where a mark lies in a picture: at one place, or in a pattern over all of it."""

from math import cos, radians, sin, sqrt
from typing import Final, Literal

Position = Literal[
    "top-left", "top", "top-right",
    "left", "centre", "right",
    "bottom-left", "bottom", "bottom-right",
]  # fmt: skip

FREE_SPACE_BEFORE: Final[dict[Position, tuple[float, float]]] = {
    "top-left": (0, 0), "top": (0.5, 0), "top-right": (1, 0),
    "left": (0, 0.5), "centre": (0.5, 0.5), "right": (1, 0.5),
    "bottom-left": (0, 1), "bottom": (0.5, 1), "bottom-right": (1, 1),
}  # fmt: skip
"""Which share of the free width and height lies left of and above the mark."""

MAX_TILES: Final = 4096
"""More than anybody sees; bounds the time that a tiny mark on an odd picture takes."""

Point = tuple[int, int]


def placed(picture: Point, mark: Point, position: Position, margin: int) -> Point:
    """Return the top left corner of a mark of a size at *position*, *margin* pixels inside."""
    across, down = FREE_SPACE_BEFORE[position]
    free = picture[0] - 2 * margin - mark[0], picture[1] - 2 * margin - mark[1]
    return (
        _inside(margin + round(free[0] * across), picture[0] - mark[0]),
        _inside(margin + round(free[1] * down), picture[1] - mark[1]),
    )


def tiled(
    picture: Point, mark: Point, turned: Point, *, angle: float, gap: float
) -> tuple[Point, ...]:
    """Return the top left corners of marks that fill a picture, also those cut at its edges.

    *mark* is the size before, *turned* that after turning by *angle* degrees counterclockwise.
    Lines run along the angle; *gap* is what lies between two marks and two lines, as a share
    of the mark's width. Every other line is shifted by half; one mark is at the centre.
    """
    steps = mark[0] * (1 + gap), mark[1] + mark[0] * gap
    # Turned, the pattern has to fill the circle around the picture.
    radius = sqrt(picture[0] ** 2 + picture[1] ** 2) / 2 + max(turned)
    crowd = (2 * radius) ** 2 / (steps[0] * steps[1])
    if crowd > MAX_TILES:
        steps = steps[0] * sqrt(crowd / MAX_TILES), steps[1] * sqrt(crowd / MAX_TILES)
    across, down = cos(radians(angle)), sin(radians(angle))
    lines, columns = int(radius / steps[1]) + 1, int(radius / steps[0]) + 1
    found = []
    for line in range(-lines, lines + 1):
        y = line * steps[1]
        for column in range(-columns, columns + 1):
            x = (column + line % 2 / 2) * steps[0]
            left = round(picture[0] / 2 + x * across + y * down - turned[0] / 2)
            top = round(picture[1] / 2 - x * down + y * across - turned[1] / 2)
            if -turned[0] < left < picture[0] and -turned[1] < top < picture[1]:
                found.append((left, top))
    return tuple(found)


def _inside(at: int, last: int) -> int:
    return max(0, min(at, last))
