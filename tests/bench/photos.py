"""Photos of camera size, made from the samples: sets S (1.5 MP), M (12 MP) and L (24 MP).

The same seed makes the same photos. Other crops of real photographs, enlarged, with noise as a
sensor's: softer than a camera's own, but as many bytes to decode.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

SAMPLES: Final = Path(__file__).parents[2] / "samples"
SOURCES: Final = (
    "dandelion-16mp.jpg",
    "dogs-orientation-6.jpg",
    "mountains-orientation-3.jpg",
    "drum-orientation-5.jpg",
)
SHARE: Final = (0.6, 0.95)
"""How much of a source a crop shows, least and most."""


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """Size in pixels, JPEG quality and noise (standard deviation of 255) of one set."""

    width: int
    height: int
    quality: int
    noise: float


SETS: Final = {
    "S": PhotoSet(1500, 1000, 85, 3.0),
    "M": PhotoSet(4000, 3000, 92, 5.5),
    "L": PhotoSet(6000, 4000, 92, 5.0),
}


def make_photos(name: str, count: int, seed: int = 1) -> list[bytes]:
    """Return *count* JPEGs of the set called *name*, every third stored turned (EXIF 6)."""
    chance = np.random.default_rng([seed, ord(name)])
    sources = [Image.open(SAMPLES / source).convert("RGB") for source in SOURCES]
    return [
        _photo(SETS[name], sources[i % len(sources)], chance, turned=i % 3 == 2)
        for i in range(count)
    ]


def _photo(
    kind: PhotoSet, source: Image.Image, chance: np.random.Generator, *, turned: bool
) -> bytes:
    share = chance.uniform(*SHARE)
    width = min(source.width, source.height * kind.width / kind.height) * share
    height = width * kind.height / kind.width
    left = chance.uniform(0, source.width - width)
    top = chance.uniform(0, source.height - height)
    image = source.resize(
        (kind.width, kind.height),
        Image.Resampling.BICUBIC,
        box=(left, top, left + width, top + height),
    )
    # A sensor's noise is spread over neighbours: of each pixel one colour is measured.
    coarse = chance.normal(0, kind.noise, (kind.height // 2 + 1, kind.width // 2 + 1))
    spots = Image.fromarray(coarse.astype(np.float32)).resize(
        (kind.width, kind.height), Image.Resampling.BICUBIC
    )
    grain = np.asarray(spots)[:, :, None]
    noisy = np.clip(np.asarray(image, np.float32) + grain, 0, 255).astype(np.uint8)
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6
    exif[0x010F] = "Bench"
    out = io.BytesIO()
    Image.fromarray(noisy).save(out, "JPEG", quality=kind.quality, exif=exif)
    return out.getvalue()
