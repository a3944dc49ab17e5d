"""Reduce Pillow's many pixel modes to L, LA, RGB, RGBA and CMYK."""

from typing import Final

from PIL import Image

GREY_MODES: Final = frozenset({"1", "L", "LA", "La"})
WIDE_MODES: Final = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N", "F"})

WHITE_16_BIT: Final = 65_535
WHITES: Final[dict[str, tuple[float, ...]]] = {
    "I": (255.0, 65_535.0),
    "F": (1.0, 255.0, 65_535.0),
}
"""What may be white in a TIFF of integers or floats, which does not say: the least that no
pixel exceeds, or else the brightest pixel."""

OPAQUE: Final = 128
"""Alpha from which a pixel counts as visible."""
GREY: Final = (128, 128, 128)


def plain(image: Image.Image) -> Image.Image:
    """Return *image* in mode L, LA, RGB, RGBA or CMYK, with alpha only if it is used.

    16-bit, integer and float greys are scaled, not clipped, to 8 bit; palettes, bilevel, YCbCr
    and LAB pictures are converted; transparency given as a colour becomes alpha.
    """
    if image.mode in WIDE_MODES:
        image = _eight_bits(image)
    grey = image.mode in GREY_MODES
    if image.has_transparency_data:
        return without_idle_alpha(as_mode(image, "LA" if grey else "RGBA"))
    if image.mode == "CMYK":
        return image
    return as_mode(image, "L" if grey else "RGB")


def as_mode(image: Image.Image, mode: str) -> Image.Image:
    """Return *image* itself if it has *mode* (``convert`` would copy it), else converted."""
    return image if image.mode == mode else image.convert(mode)


def without_idle_alpha(image: Image.Image) -> Image.Image:
    """Return an LA or RGBA picture without its alpha if every pixel is opaque."""
    if is_transparent(image):
        return image
    return image.convert(image.mode.removesuffix("A"))


def is_transparent(image: Image.Image) -> bool:
    """Say whether any pixel of an L, LA, RGB or RGBA picture is less than opaque."""
    if image.mode not in {"LA", "RGBA"}:
        return False
    return image.getchannel("A").getextrema()[0] != 255  # noqa: PLR2004  # opaque


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return a wide grey picture as L, or LA if one of its greys stands for transparent."""
    if image.mode.startswith("I;16"):
        transparent = image.info.get("transparency")
        image = image.convert("I")
        white: float = WHITE_16_BIT
    else:
        transparent = None
        brightest = float(image.getextrema()[1])  # type: ignore[arg-type]  # one band: two numbers
        white = next((white for white in WHITES[image.mode] if brightest <= white), brightest)
    gain = 255 / white
    grey = image.point(lambda value: value * gain + 0.5).convert("L")
    if not isinstance(transparent, int):
        return Image.merge("L", (grey,))  # drops ``info``, whose numbers were 16-bit
    table = [255] * (WHITE_16_BIT + 1)
    table[transparent] = 0
    return Image.merge("LA", (grey, image.point(table, "L")))


def visible_mask(image: Image.Image) -> Image.Image | None:
    """Return a mask (0 or 255) of the visible pixels; None if all are, or not one is."""
    if image.mode != "RGBA":
        return None
    mask = image.getchannel("A").point(lambda alpha: 255 if alpha >= OPAQUE else 0)
    return mask if mask.getextrema() == (0, 255) else None


def on_grey(image: Image.Image) -> Image.Image:
    """Return a picture in RGB or RGBA as RGB, on middle grey: what the models look at."""
    if image.mode != "RGBA":
        return image
    flat = Image.new("RGB", image.size, GREY)
    flat.paste(image, mask=image)
    return flat
