"""What stays when a picture fills a box of another shape."""

import random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from photo_pipeline.domain.stage import Box
from photo_pipeline.imaging.crop import WHOLE, crop_region
from photo_pipeline.imaging.opening import open_upright
from photo_pipeline.imaging.saliency import saliency
from photo_pipeline.imaging.scale import Region
from support.processes import SAMPLES

SUBJECTS: dict[str, Box] = {
    "astronaut.jpg": (0.38, 0.04, 0.20, 0.34),  # the face
    "brushes-display-p3.jpg": (0.28, 0.20, 0.27, 0.55),  # the pink brush in the middle
    "cat-small.jpg": (0.33, 0.25, 0.47, 0.70),  # eyes, nose and mouth
    "coffee-gps.jpg": (0.28, 0.05, 0.44, 0.70),  # the cup
    "dandelion-16mp.jpg": (0.13, 0.05, 0.32, 0.50),  # the near one
    "dogs-orientation-6.jpg": (0.30, 0.22, 0.40, 0.44),  # both of them
    "drum-orientation-5.jpg": (0.02, 0.50, 0.63, 0.25),
    "fig-cutout-alpha.png": (0.28, 0.25, 0.34, 0.45),  # the fig in the bowl
    "photographer-gray.jpg": (0.30, 0.12, 0.40, 0.40),  # head and camera
    "rocket-adobe-rgb.jpg": (0.46, 0.30, 0.15, 0.68),
}
SHAPES = ((1, 1), (16, 9), (3, 4))


def kept(subject: Box, region: Region) -> float:
    """Return how much of *subject* lies in *region*, of what fits into it at all."""
    spans = []
    for axis in (0, 1):
        first, last = subject[axis], subject[axis] + subject[axis + 2]
        inside = max(0.0, min(last, region[axis + 2]) - max(first, region[axis]))
        spans.append(inside / min(last - first, region[axis + 2] - region[axis]))
    return spans[0] * spans[1]


def drawn(seed: int) -> tuple[Image.Image, Box]:
    """A small bright thing somewhere on a rough dull ground, and where it is."""
    chance = random.Random(seed)  # noqa: S311  # it is to repeat itself
    size = chance.choice([(900, 300), (300, 900), (1000, 400)])
    noise = np.random.default_rng(seed).normal(128, 25, (size[1] // 8, size[0] // 8))
    grey = Image.fromarray(noise.clip(0, 255).astype(np.uint8)).resize(size)
    image = Image.merge("RGB", [grey.point(lambda value: value // 2 + 60)] * 3)
    side = 90
    left, top = chance.randrange(size[0] - side), chance.randrange(size[1] - side)
    colour = chance.choice(["#e03020", "#f0e040", "#ffffff", "#2050e0"])
    ImageDraw.Draw(image).ellipse((left, top, left + side, top + side), fill=colour)
    box = (left / size[0], top / size[1], side / size[0], side / size[1])
    return image, box


def scenes() -> list[tuple[Image.Image, Box]]:
    photos = [
        (open_upright((SAMPLES / name).read_bytes(), 1024), box) for name, box in SUBJECTS.items()
    ]
    return photos + [drawn(seed) for seed in range(10)]


def test_nine_of_ten_crops_keep_the_subject_and_the_middle_would_not() -> None:
    smart = middle = count = 0
    for image, subject in scenes():
        interest = saliency(image)
        for shape in SHAPES:
            count += 1
            found = crop_region(image.size, shape, interest=interest)
            smart += kept(subject, found) >= 0.8
            middle += kept(subject, crop_region(image.size, shape)) >= 0.8
    assert smart >= 0.9 * count, f"{smart} of {count}"
    assert middle < 0.75 * count, f"{middle} of {count}"


@pytest.mark.parametrize("size", [(900, 600), (600, 900), (3, 2000), (1, 1), (500, 500)])
@pytest.mark.parametrize("shape", [(1, 1), (16, 9), (9, 16), (1, 10_000)])
@pytest.mark.parametrize("focal", [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.3, 0.8)])
def test_the_focal_point_is_as_near_the_middle_as_can_be(
    size: tuple[int, int], shape: tuple[int, int], focal: tuple[float, float]
) -> None:
    left, top, right, bottom = crop_region(size, shape, focal_point=focal)
    assert 0 <= left < right <= 1 + 1e-12
    assert 0 <= top < bottom <= 1 + 1e-12
    proportions = (right - left) * size[0] / ((bottom - top) * size[1])
    assert proportions == pytest.approx(shape[0] / shape[1])
    assert (right - left == pytest.approx(1)) or (bottom - top == pytest.approx(1))
    for at, first, last in ((focal[0], left, right), (focal[1], top, bottom)):
        room = min(at - first, last - at) / (last - first)
        assert room == pytest.approx(0.5, abs=0.02) or first == 0 or last == pytest.approx(1)


def test_faces_are_kept_and_at_least_the_largest() -> None:
    two = ((0.6, 0.4, 0.1, 0.1), (0.8, 0.4, 0.1, 0.1))
    region = crop_region((900, 600), (3, 4), faces=two)
    assert all(kept(face, region) == pytest.approx(1) for face in two)
    apart = ((0.0, 0.4, 0.1, 0.1), (0.8, 0.3, 0.15, 0.2))
    region = crop_region((900, 600), (3, 4), faces=apart)
    assert [round(kept(face, region), 6) for face in apart] == [0, 1]


def test_the_focal_point_comes_before_faces_and_faces_before_saliency() -> None:
    image, _ = drawn(1)
    interest = saliency(image)
    face = ((0.0, 0.0, 0.05, 0.05),)
    chosen = {"shape": (1, 1), "interest": interest}
    by_face = crop_region((900, 300), faces=face, **chosen)  # type: ignore[arg-type]
    assert by_face[0] == 0
    by_focal = crop_region((900, 300), faces=face, focal_point=(1, 1), **chosen)  # type: ignore[arg-type]
    assert by_focal[2] == pytest.approx(1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_flat_picture_is_cut_in_the_middle(mode: str) -> None:
    colour = (90, 90, 90) if mode == "RGB" else (0, 0, 0, 0)
    interest = saliency(Image.new(mode, (900, 300), colour))
    region = crop_region((900, 300), (1, 1), interest=interest)
    assert region == pytest.approx(crop_region((900, 300), (1, 1)), abs=0.01)


def test_what_is_transparent_draws_nobody() -> None:
    image = Image.new("RGBA", (900, 300), (90, 90, 90, 255))
    image.paste((255, 0, 0, 0), (0, 0, 300, 300))  # invisible
    ImageDraw.Draw(image).ellipse((700, 100, 800, 200), fill=(255, 220, 0, 255))
    assert (
        kept((0.77, 0.3, 0.12, 0.4), crop_region((900, 300), (1, 1), interest=saliency(image)))
        > 0.9
    )


def test_the_same_shape_shows_the_whole_photo() -> None:
    assert crop_region((900, 600), (3, 2)) == WHOLE
