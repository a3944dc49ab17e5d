"""Where marks lie."""

from itertools import pairwise
from typing import get_args

import pytest

from photo_pipeline.imaging.placing import (
    FREE_SPACE_BEFORE,
    MAX_TILES,
    Position,
    placed,
    tiled,
)

POSITIONS: tuple[Position, ...] = get_args(Position)


def test_all_nine_positions_are_there() -> None:
    assert len(POSITIONS) == 9
    assert FREE_SPACE_BEFORE.keys() == set(POSITIONS)


@pytest.mark.parametrize("position", POSITIONS)
def test_a_mark_keeps_its_margin(position: Position) -> None:
    x, y = placed((100, 60), (20, 10), position, 5)
    assert x == (5 if "left" in position else 75 if "right" in position else 40)
    assert y == (5 if "top" in position else 45 if "bottom" in position else 25)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("picture", [(1, 1), (3, 2000), (2000, 3)])
def test_a_mark_is_inside_though_the_margin_leaves_no_room(
    position: Position, picture: tuple[int, int]
) -> None:
    assert placed(picture, (1, 1), position, 5) >= (0, 0)
    x, y = placed(picture, (1, 1), position, 5)
    assert x + 1 <= picture[0]
    assert y + 1 <= picture[1]


def test_tiles_fill_the_picture_line_by_line() -> None:
    places = tiled((400, 200), (50, 10), (50, 10), angle=0, gap=0.2)
    assert (175, 95) in places, "one is at the centre"
    lines = sorted({y for _, y in places})
    assert {below - above for above, below in pairwise(lines)} == {20}
    assert lines[0] <= 10
    assert lines[-1] >= 180
    for y in lines:
        row = sorted(x for x, line in places if line == y)
        assert {right - left for left, right in pairwise(row)} == {60}
        assert row[0] <= 10
        assert row[-1] >= 340
    first, second = ({x % 60 for x, y in places if y == line} for line in lines[:2])
    assert first != second, "every other line is shifted"


@pytest.mark.parametrize("angle", [-90, -45, 10, 30, 90])
def test_turned_tiles_reach_every_corner(angle: float) -> None:
    places = tiled((900, 500), (90, 20), (90, 60), angle=angle, gap=0.5)
    for corner in ((0, 0), (900, 0), (0, 500), (900, 500), (450, 250)):
        nearest = min(
            ((x + 45 - corner[0]) ** 2 + (y + 30 - corner[1]) ** 2) ** 0.5 for x, y in places
        )
        assert nearest < 150
    # All of them show.
    assert all(-90 < x < 900 and -60 < y < 500 for x, y in places)


def test_lines_run_along_the_angle_counterclockwise() -> None:
    places = tiled((1000, 1000), (100, 20), (100, 100), angle=45, gap=0.5)
    # 150 px further along the line, to the right and up.
    assert (450 + 106, 450 - 106) in places


@pytest.mark.parametrize("picture", [(10_000, 10_000), (3, 1_000_000), (1_000_000, 3), (1, 1)])
def test_there_are_never_too_many(picture: tuple[int, int]) -> None:
    assert 1 <= len(tiled(picture, (1, 1), (1, 1), angle=30, gap=0.05)) <= MAX_TILES
