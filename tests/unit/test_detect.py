"""The detect stage: facts from the pixels alone, of pictures whose answers are known."""

import json
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from pydantic import ValidationError

from photo_pipeline.detectors.registry import DETECTORS
from photo_pipeline.domain.likeness import NEAR, bands, hamming
from photo_pipeline.errors import UnreadableImageError
from photo_pipeline.imaging.lab import from_lab, to_lab
from photo_pipeline.imaging.perceptual import phash
from photo_pipeline.stages.detect import STAGE, DetectParameters, detect
from support.pictures import save


def facts(image: Image.Image | bytes, **parameters: Any) -> dict[str, Any]:
    data = image if isinstance(image, bytes) else save(image)
    output = detect({"1280": data}, DetectParameters(**{"detectors": (), **parameters}))
    assert output.pictures == ()
    return dict(output.facts)


def scene(seed: int = 1) -> Image.Image:
    """Draw something with shapes, edges and tones; *seed* chooses where and which."""
    image = Image.linear_gradient("L").resize((640, 480)).convert("RGB")
    draw = ImageDraw.Draw(image)
    for i in range(40):
        value = (i * 7919 + seed * 104_729) % 65_536
        x, y, side = value % 600, value // 7 % 440, 20 + value % 90
        colour = (value % 256, value // 3 % 256, value // 11 % 256)
        if i % 2:
            draw.rectangle((x, y, x + side, y + side // 2), fill=colour)
        else:
            draw.ellipse((x, y, x + side, y + side), fill=colour)
    return image


def test_the_defaults() -> None:
    assert STAGE.reads(DetectParameters()) == ("1280",)
    assert STAGE.writes(DetectParameters()) == ()
    assert STAGE.reads(DetectParameters(rendition="320")) == ("320",)


def test_the_facts_are_json() -> None:
    found = facts(scene())
    assert json.loads(json.dumps(found)) == found
    assert found.keys() == {
        *("colours", "sharpness", "exposure", "perceptual_hash", "dct_hash", "detectors")
    }


def test_red_is_red() -> None:
    assert facts(Image.new("RGB", (640, 480), (255, 0, 0)))["colours"] == [
        {"hex": "#ff0000", "share": 1.0, "name": "red"}
    ]


def test_noise_of_one_colour_is_one_colour() -> None:
    red = Image.new("RGB", (640, 480), (220, 30, 30))
    grain = Image.effect_noise((640, 480), 4).convert("RGB")
    found = facts(save(Image.blend(red, grain, 0.2), "JPEG", quality=82))["colours"]
    assert len(found) == 1
    assert found[0]["share"] == 1.0


def test_two_halves_are_two_colours() -> None:
    image = Image.new("RGB", (640, 480), (10, 200, 10))
    image.paste((20, 20, 230), (0, 0, 320, 480))
    found = facts(image)["colours"]
    assert {entry["hex"] for entry in found} == {"#0ac80a", "#1414e6"}
    assert all(entry["share"] == pytest.approx(0.5, abs=0.02) for entry in found)


def test_colours_are_sorted_by_share() -> None:
    image = Image.new("RGB", (600, 400), "white")
    image.paste((200, 0, 0), (0, 0, 150, 400))
    image.paste((0, 0, 200), (0, 0, 60, 400))
    found = facts(image)["colours"]
    assert [entry["hex"] for entry in found] == ["#ffffff", "#c80000", "#0000c8"]
    assert [entry["share"] for entry in found] == pytest.approx([0.75, 0.15, 0.1], abs=0.02)


@pytest.mark.parametrize("count", [1, 3, 16])
def test_no_more_colours_than_asked_for(count: int) -> None:
    found = facts(scene(), colours=count)["colours"]
    assert 1 <= len(found) <= count
    assert sum(entry["share"] for entry in found) == pytest.approx(1, abs=0.01)


def test_transparent_pixels_do_not_count() -> None:
    image = Image.new("RGBA", (640, 480), (0, 255, 0, 0))
    image.paste((250, 250, 250, 255), (200, 100, 400, 300))
    found = facts(image)
    assert [entry["hex"] for entry in found["colours"]] == ["#fafafa"]
    assert found["exposure"]["mean"] == pytest.approx(250 / 255, abs=0.01)
    assert found["exposure"]["verdict"] == "over"


def test_a_fully_transparent_picture_has_facts_too() -> None:
    found = facts(Image.new("RGBA", (64, 48), (0, 0, 0, 0)))
    assert found["exposure"]["verdict"] == "normal"
    assert found["colours"] == [{"hex": "#808080", "share": 1.0, "name": "grey"}]


def test_sharpness_falls_with_blur() -> None:
    variances, verdicts = [], []
    for radius in (0, 1, 2, 6):
        image = scene().filter(ImageFilter.GaussianBlur(radius)) if radius else scene()
        found = facts(image)["sharpness"]
        variances.append(found["variance_of_laplacian"])
        verdicts.append(found["verdict"])
    assert variances == sorted(variances, reverse=True)
    assert verdicts[0] == "sharp"
    assert verdicts[-1] == "blurred"


def test_the_variance_is_that_of_the_definition() -> None:
    image = scene().resize((40, 30)).convert("L")
    pixels = image.tobytes()
    found = [
        pixels[y * 40 + x - 1] + pixels[y * 40 + x + 1]
        + pixels[(y - 1) * 40 + x] + pixels[(y + 1) * 40 + x] - 4 * pixels[y * 40 + x]
        for y in range(1, 29)
        for x in range(1, 39)
    ]  # fmt: skip
    clipped = [max(-255, min(255, value)) for value in found]
    mean = sum(clipped) / len(clipped)
    expected = sum((value - mean) ** 2 for value in clipped) / len(clipped)
    assert facts(image)["sharpness"]["variance_of_laplacian"] == pytest.approx(expected, abs=0.01)


def test_a_flat_picture_is_not_sharp() -> None:
    found = facts(Image.new("RGB", (640, 480), (90, 90, 90)))["sharpness"]
    assert found == {"variance_of_laplacian": 0.0, "verdict": "blurred"}


@pytest.mark.parametrize(
    ("grey", "verdict"), [(8, "under"), (40, "under"), (118, "normal"), (230, "over")]
)
def test_exposure(grey: int, verdict: str) -> None:
    found = facts(Image.new("RGB", (64, 64), (grey, grey, grey)))["exposure"]
    assert found["mean"] == pytest.approx(grey / 255, abs=0.001)
    assert found["verdict"] == verdict
    assert found["clipped_shadows"] == found["clipped_highlights"] == 0


def test_clipping_is_a_share_of_the_pixels() -> None:
    image = Image.new("RGB", (100, 100), (120, 120, 120))
    image.paste((0, 0, 0), (0, 0, 100, 30))
    image.paste((255, 255, 255), (0, 90, 100, 100))
    found = facts(image)["exposure"]
    assert (found["clipped_shadows"], found["clipped_highlights"]) == (0.3, 0.1)


def test_the_hash_is_the_published_one() -> None:
    """Brighter to the right everywhere gives all ones; one darker step takes out one bit."""
    ramp = Image.new("L", (9, 8))
    for y in range(8):
        for x in range(9):
            ramp.putpixel((x, y), 20 * x + 10)
    assert facts(ramp)["perceptual_hash"] == {"algorithm": "dhash64", "value": "f" * 16}
    mirrored = ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert facts(mirrored)["perceptual_hash"]["value"] == "0" * 16
    ramp.putpixel((1, 0), 0)  # first row, first step
    assert facts(ramp)["perceptual_hash"]["value"] == "7" + "f" * 15


@pytest.mark.parametrize("hash_", ["perceptual_hash", "dct_hash"])
def test_the_hash_survives_recompression_and_resizing(hash_: str) -> None:
    values = [
        facts(data)[hash_]["value"]
        for data in (
            save(scene()),
            save(scene(), "JPEG", quality=40),
            save(scene().resize((1280, 960))),
            save(scene().resize((200, 150)), "WEBP"),
        )
    ]
    assert all(len(value) == 16 for value in values)
    assert max(hamming(values[0], value) for value in values) <= 6


@pytest.mark.parametrize("hash_", ["perceptual_hash", "dct_hash"])
def test_other_pictures_have_other_hashes(hash_: str) -> None:
    values = [facts(scene(seed))[hash_]["value"] for seed in (1, 2, 3)]
    assert min(hamming(a, b) for a in values for b in values if a is not b) > 10


def test_nothing_is_claimed_that_was_not_looked_for() -> None:
    found = facts(scene())
    assert found["detectors"] == {
        name: {"status": "not_run", "reason": "not wanted"}
        for name in ("labels", "faces", "unsafe", "objects")
    }
    assert not {"labels", "groups", "faces", "unsafe", "objects"} & found.keys()


def test_the_parameters_know_every_detector() -> None:
    assert DetectParameters().detectors == tuple(detector.name for detector in DETECTORS)
    assert DetectParameters().wanted.keys() == set(DetectParameters().detectors)


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ("#0b0b0d", "black"), ("#f8f8f6", "white"), ("#909090", "grey"), ("#c81e1e", "red"),
        ("#7a0c0c", "red"), ("#e8821e", "orange"), ("#f2dc3c", "yellow"), ("#3c8c32", "green"),
        ("#1f3d1a", "green"), ("#2ab8b0", "turquoise"), ("#1c48b4", "blue"),
        ("#8ec4f0", "blue"), ("#0c1a50", "blue"), ("#6a2a9a", "purple"), ("#f48fb6", "pink"),
        ("#6e4424", "brown"), ("#dcc9a4", "beige"),
    ],
)  # fmt: skip
def test_colours_have_the_names_that_people_use(colour: str, name: str) -> None:
    (found,) = facts(Image.new("RGB", (64, 48), colour))["colours"]
    assert (found["hex"], found["name"]) == (colour, name)


def test_every_colour_comes_back_from_lab() -> None:
    steps = np.arange(0, 256, 15).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    assert np.array_equal(from_lab(to_lab(colours)), colours)


def test_lab_is_that_of_the_standard() -> None:
    """Reference values of Lindbloom's calculator for sRGB and D65."""
    found = to_lab(np.array([[255, 0, 0], [0, 0, 255], [255, 255, 255]], np.uint8))
    expected = np.array([[53.24, 80.09, 67.20], [32.30, 79.19, -107.86], [100, 0, 0]])
    assert np.allclose(found, expected, atol=0.05)


def test_the_dct_hash_tells_frequencies_above_their_median() -> None:
    """The same by the definition, with floating-point cosines."""
    luma = scene().resize((32, 32), Image.Resampling.LANCZOS).convert("L")
    at = np.arange(32)
    cosines = np.cos(np.outer(np.arange(8), 2 * at + 1) * np.pi / 64)
    low = (cosines @ np.asarray(luma, np.float64) @ cosines.T).ravel()
    bits = "".join("1" if value > np.median(low) else "0" for value in low)
    assert hamming(phash(luma), f"{int(bits, 2):016x}") == 0


@pytest.mark.parametrize("seed", range(200))
def test_near_hashes_share_a_band(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # not for secrets
    while not bands(f"{(value := chance.getrandbits(64)):016x}"):
        pass
    near = value
    for bit in chance.sample(range(64), NEAR):
        near ^= 1 << bit
    one, other = f"{value:016x}", f"{near:016x}"
    assert hamming(one, other) == NEAR
    assert set(bands(one)) & set(bands(other))


def test_bands_hold_every_bit_once() -> None:
    value = 0x0123456789ABCDEF
    assert len(bands(f"{value:016x}")) == NEAR + 1
    for bit in range(64):
        changed = set(bands(f"{value ^ 1 << bit:016x}")) - set(bands(f"{value:016x}"))
        assert len(changed) == 1, bit


def test_a_hash_that_says_nothing_is_near_to_none() -> None:
    few, telling = (1 << NEAR) - 1, (1 << NEAR + 1) - 1
    for value in (0, few, few ^ (1 << 64) - 1):
        assert bands(f"{value:016x}") == ()
    assert bands(f"{telling:016x}")


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (640, 1), (1, 640), (5, 2)])
def test_tiny_pictures_have_facts(size: tuple[int, int]) -> None:
    found = facts(Image.new("RGB", size, (10, 120, 240)))
    assert found["colours"] == [{"hex": "#0a78f0", "share": 1.0, "name": "blue"}]
    assert found["perceptual_hash"]["value"] == "0" * 16


def test_a_large_input_is_looked_at_small() -> None:
    large = scene().resize((2560, 1920))
    small = facts(large.resize((640, 480), Image.Resampling.LANCZOS))
    found = facts(large)
    assert found["perceptual_hash"] == small["perceptual_hash"]
    assert found["exposure"]["mean"] == pytest.approx(small["exposure"]["mean"], abs=0.002)
    assert found["sharpness"]["variance_of_laplacian"] == pytest.approx(
        small["sharpness"]["variance_of_laplacian"], rel=0.1
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"rendition": ""},
        {"colours": 0},
        {"colours": 17},
        {"unknown": True},
        {"detectors": ["cats"]},
        {"detectors": ["faces", "faces"]},
        {"min_label": 0.01},
        {"min_face": 1.1},
        {"review": 0},
        {"review": 0.9, "block": 0.8},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DetectParameters(**wrong)


def test_garbage_is_refused() -> None:
    with pytest.raises(UnreadableImageError):
        facts(save(scene(), "JPEG")[:4000])
