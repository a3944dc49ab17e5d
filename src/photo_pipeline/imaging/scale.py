"""Sizes and resampling."""

from functools import cache
from typing import Final

from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image

from photo_pipeline.domain.rendition import scaled

Region = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of a picture; they need not be whole."""

PROBED_BYTES: Final = 32 << 20
"""From here on the allocator maps memory by itself: asking for it costs address space only."""

REDUCING_GAP: Final = 3.0
"""Above a factor of six, average whole pixels first and leave LANCZOS a factor of three to six:
"indistinguishable from fair resampling" (Pillow's documentation), and a third of the time."""

VECTORISED: Final = frozenset({"L", "RGB", "RGBA", "CMYK"})
"""What the resampler with vector instructions takes. It computes with whole numbers, the same
on every processor, at a quarter of Pillow's time and on average 0.15 levels from its result."""


def fit(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return *size* with its longest side reduced to *longest*, never enlarged.

    The aspect is kept by rounding the other side half up, to 1 px at least.
    """
    side = max(size)
    return size if side <= longest else scaled(size, longest, side)


def shrink(image: Image.Image, size: tuple[int, int], region: Region | None = None) -> Image.Image:
    """Return *region* (all) of *image* resampled to *size* with LANCZOS, or the picture itself.

    Pictures with alpha are resampled premultiplied, so that the invisible colour of transparent
    pixels does not bleed into their neighbours. Raises MemoryError.
    """
    left, top, right, bottom = region or (0, 0, *image.size)
    if (right - left, bottom - top) == size and left == int(left) and top == int(top):
        whole = (left, top) == (0, 0) and image.size == size
        return image if whole else image.crop((int(left), int(top), int(right), int(bottom)))
    if image.mode not in VECTORISED:
        return image.resize(
            size,
            Image.Resampling.LANCZOS,
            box=(left, top, right, bottom),
            reducing_gap=REDUCING_GAP,
        )
    options = ResizeOptions(
        ResizeAlg.convolution(FilterType.lanczos3),
        crop_box=CropBox(left, top, right - left, bottom - top),
    )
    _blame_memory_if_scarce(image, size)
    resized = Image.new(image.mode, size)
    _resizer().resize_pil(image, resized, options)
    return resized


def larger(image: Image.Image, longest: int) -> Image.Image:
    """Return *image* with its longest side enlarged to *longest*, or the picture itself."""
    side = max(image.size)
    if side >= longest:
        return image
    return image.resize(scaled(image.size, longest, side), Image.Resampling.BICUBIC)


def _blame_memory_if_scarce(image: Image.Image, size: tuple[int, int]) -> None:
    """Raise MemoryError if the resampler would not get its memory: it ends the process then."""
    premultiplied = image.width * image.height if image.mode == "RGBA" else 0
    needed = 4 * (size[0] * image.height + premultiplied)
    if needed >= PROBED_BYTES:
        bytes(needed)


@cache
def _resizer() -> Resizer:
    return Resizer()
