"""Every kind of file that is taken, against what another program makes of it.

The numbers in tests/golden/references.json were computed once, by libvips or ImageMagick:
tests/golden/make.py says how.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from photo_pipeline.stages.resize import ResizeParameters, resize
from support.colour_difference import ciede2000, lab, ssim

GOLDEN = Path(__file__).parents[1] / "golden"
REFERENCES: dict[str, dict[str, Any]] = json.loads((GOLDEN / "references.json").read_text())
GROUND = "#808080"
MAX_DIFFERENCE = 2.0  # mean CIEDE2000
MIN_SSIM = 0.98

# Pairs and differences as published by Sharma, Wu and Dalal (2005), table 1: the first columns,
# and those that the hue's jumps get wrong most easily.
SHARMA = (
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
    ((50, -0.001, 2.49), (50, 0.0009, -2.49), 4.8045),
    ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (56, -27, -3), 31.9030),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
)


@pytest.mark.parametrize(("one", "other", "expected"), SHARMA)
def test_the_measure_is_the_published_one(
    one: tuple[float, ...], other: tuple[float, ...], expected: float
) -> None:
    assert float(ciede2000(np.array(one), np.array(other))) == pytest.approx(expected, abs=1e-4)
    assert float(ciede2000(np.array(other), np.array(one))) == pytest.approx(expected, abs=1e-4)


def test_every_file_has_its_reference() -> None:
    files = {path.name for path in GOLDEN.iterdir() if path.suffix not in {".py", ".md", ".json"}}
    assert files == set(REFERENCES)


def cells(image: Image.Image, grid: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return *image* on the ground, averaged to the reference's grid."""
    flat = Image.new("RGB", image.size, GROUND)
    flat.paste(image, mask=image.getchannel("A") if image.mode == "RGBA" else None)
    return np.asarray(flat.resize(grid, Image.Resampling.BOX))


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_size_orientation_and_colours_are_as_they_should_be(name: str) -> None:
    reference = REFERENCES[name]
    table = {"name": "x", "longest_side": 240, "quality": 92, "chroma": "4:4:4"}
    parameters = ResizeParameters.model_validate({"sizes": [], "renditions": [table]})
    output = resize({"original": (GOLDEN / name).read_bytes()}, parameters)
    image = Image.open(io.BytesIO(output.pictures[0].data))
    assert image.size == tuple(reference["size"])
    assert (output.facts["width"], output.facts["height"]) == image.size
    grid = reference["grid"]
    found = cells(image, (grid[0], grid[1]))
    codes = np.frombuffer(bytes.fromhex(reference["cells"]), np.uint8)
    wanted = codes.reshape(grid[1], grid[0], 3)
    difference = float(ciede2000(lab(found), lab(wanted)).mean())
    structure = ssim(found.mean(axis=2), wanted.mean(axis=2))
    assert difference < MAX_DIFFERENCE, f"{difference:.2f}, SSIM {structure:.4f}"
    assert structure > MIN_SSIM, f"{difference:.2f}, SSIM {structure:.4f}"
    notes = [note["code"] for note in output.facts.get("notes", [])]
    assert notes == (["profile_ignored"] if "broken" in name else [])
