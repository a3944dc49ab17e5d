"""Find the colours that stand for a picture, and what people call them."""

from itertools import combinations
from math import dist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photo_pipeline.domain.colours import NAMED
from photo_pipeline.imaging.lab import from_lab, to_lab
from photo_pipeline.imaging.scale import fit

COLOUR_SIDE: Final = 64
"""4096 pixels: enough for shares to a percent."""
FINER: Final = 256
"""Lab is kept in 256ths, as whole numbers: sums are exact, the same on every machine."""
ROUNDS: Final = 8
"""Of k-means: after them no share of the samples' colours moves by a percent."""
SAME_COLOUR: Final = 10 * FINER
"""Distance in Lab up to which two colours count as one: about what JPEG and grain make of a
flat ground."""

Points = NDArray[np.int64]

_NAMES: Final = tuple(name for name, samples in NAMED for _ in samples.split())
_SAMPLES: Final = to_lab(
    np.array(
        [list(bytes.fromhex(s[1:])) for _, samples in NAMED for s in samples.split()], np.uint8
    )
)


class Colour(NamedTuple):
    """A colour of a picture: ``#rrggbb``, the share of the pixels, and its name."""

    code: str
    share: float
    name: str


class Cluster(NamedTuple):
    """How many pixels are about a colour, in 256ths of Lab."""

    weight: int
    colour: tuple[float, ...]


def dominant_colours(image: Image.Image, visible: Image.Image | None, count: int) -> list[Colour]:
    """Return at most *count* colours of an RGB picture, commonest first.

    *visible* is a mask of the same size (0 or 255); without it all pixels count. Shares sum up
    to 1. k-means (Lloyd 1982) in CIELAB over a 64 px version, with twice as many clusters as
    wanted, from those of a median cut (Heckbert 1982); then the pairs that cost least are put
    together (Ward 1963).
    """
    pixels = _pixels(image, visible)
    points = np.rint(to_lab(pixels) * FINER).astype(np.int64)
    clusters = _merged(_clustered(points, _median_cut(pixels, 2 * count)), count)
    clusters.sort(key=lambda cluster: -cluster.weight)
    lab = np.array([cluster.colour for cluster in clusters]) / FINER
    return [
        Colour(f"#{bytes(code).hex()}", cluster.weight / len(points), name)
        for cluster, code, name in zip(clusters, from_lab(lab), colour_names(lab), strict=True)
    ]


def colour_names(lab: NDArray[np.float64]) -> list[str]:
    """Return what people would call each row of CIELAB."""
    distances = ((lab[:, None] - _SAMPLES[None]) ** 2).sum(2)
    return [_NAMES[i] for i in distances.argmin(1)]


def _pixels(image: Image.Image, visible: Image.Image | None) -> NDArray[np.uint8]:
    """Return rows of RGB of the visible pixels, of all where none is."""
    size = fit(image.size, COLOUR_SIDE)
    # NEAREST for both: no mixture of neighbours, or with the grey ground, may be invented.
    pixels = np.asarray(image.resize(size, Image.Resampling.NEAREST)).reshape(-1, 3)
    if visible is None:
        return pixels
    shown = np.asarray(visible.resize(size, Image.Resampling.NEAREST)).ravel() > 0
    return pixels[shown] if shown.any() else pixels


def _median_cut(pixels: NDArray[np.uint8], count: int) -> Points:
    """Return where to begin, in 256ths of Lab: whole-number work, so always the same."""
    row = Image.frombytes("RGB", (len(pixels), 1), pixels.tobytes())
    mapped = row.quantize(count, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = np.array(mapped.getpalette(), np.uint8).reshape(-1, 3)
    used = np.flatnonzero(mapped.histogram()[: len(palette)])
    return np.rint(to_lab(palette[used]) * FINER).astype(np.int64)


def _clustered(points: Points, centres: Points) -> list[Cluster]:
    for _ in range(ROUNDS):
        nearest = ((points[:, None] - centres[None]) ** 2).sum(2).argmin(1)
        weights = np.bincount(nearest, minlength=len(centres))
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, points)
        centres = np.rint(sums[weights > 0] / weights[weights > 0, None]).astype(np.int64)
    nearest = ((points[:, None] - centres[None]) ** 2).sum(2).argmin(1)
    weights = np.bincount(nearest, minlength=len(centres))
    return [
        Cluster(int(weight), tuple(map(float, centre)))
        for weight, centre in zip(weights, centres, strict=True)
        if weight
    ]


def _merged(clusters: list[Cluster], count: int) -> list[Cluster]:
    """Return *clusters* merged to at most *count*, and none two of nearly the same colour."""
    while len(clusters) > 1:
        cost = _ward if len(clusters) > count else _distance
        one, other = min(combinations(clusters, 2), key=lambda pair: cost(*pair))
        if len(clusters) <= count and _distance(one, other) > SAME_COLOUR:
            break
        weight = one.weight + other.weight
        mean = tuple(
            (a * one.weight + b * other.weight) / weight
            for a, b in zip(one.colour, other.colour, strict=True)
        )
        rest = [cluster for cluster in clusters if cluster is not one and cluster is not other]
        clusters = [*rest, Cluster(weight, mean)]
    return clusters


def _distance(one: Cluster, other: Cluster) -> float:
    return dist(one.colour, other.colour)


def _ward(one: Cluster, other: Cluster) -> float:
    """Return by how much the squared error grows if the two become one."""
    return one.weight * other.weight / (one.weight + other.weight) * _distance(one, other) ** 2
