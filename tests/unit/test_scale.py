"""Resampling: as Pillow does, quicker, and the same everywhere."""

import numpy as np
import pytest
from cykooz_resizer import CpuExtensions, Resizer
from PIL import Image

from photo_pipeline.imaging import scale
from photo_pipeline.imaging.opening import open_upright
from photo_pipeline.imaging.scale import shrink
from support.processes import SAMPLES

PHOTO = open_upright((SAMPLES / "brushes-display-p3.jpg").read_bytes())


def in_mode(mode: str) -> Image.Image:
    image = PHOTO.convert(mode)
    if mode in {"RGBA", "LA"}:
        image.putalpha(Image.radial_gradient("L").resize(image.size))
    return image


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize(
    ("size", "region"),
    [((640, 503), None), ((300, 200), (10.5, 20.25, 910.5, 620.25)), ((16, 13), None)],
)
def test_it_is_lanczos(
    mode: str, size: tuple[int, int], region: tuple[float, float, float, float] | None
) -> None:
    image = in_mode(mode)
    ours = np.asarray(shrink(image, size, region), np.int16)
    pillows = np.asarray(image.resize(size, Image.Resampling.LANCZOS, box=region), np.int16)
    assert np.abs(ours - pillows).mean() < 0.75


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
def test_every_processor_gives_the_same_bytes(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = in_mode(mode)
    found = set()
    for extensions in (CpuExtensions.none, scale._resizer().cpu_extensions):
        resizer = Resizer()
        resizer.cpu_extensions = extensions
        monkeypatch.setattr(scale, "_resizer", lambda resizer=resizer: resizer)
        found.add(shrink(image, (401, 307), (3.5, 2.25, 1300.0, 1000.75)).tobytes())
    assert len(found) == 1


def test_what_needs_no_resampling_gets_none() -> None:
    assert shrink(PHOTO, PHOTO.size) is PHOTO
    cut = shrink(PHOTO, (100, 50), (10, 20, 110, 70))
    assert cut.tobytes() == PHOTO.crop((10, 20, 110, 70)).tobytes()
