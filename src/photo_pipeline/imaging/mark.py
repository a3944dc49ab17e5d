"""Shape marks, textual or pictorial, and lay them so that they can be read on any ground."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from photo_pipeline.imaging.legibility import (
    MIDDLE,
    Zones,
    contrasts,
    ground,
    legible,
    zones,
)
from photo_pipeline.imaging.lettering import fitting_size, letters
from photo_pipeline.imaging.scale import shrink

Tone = Literal["light", "dark", "own"]
Point = tuple[int, int]

COLOURS: Final[dict[Tone, tuple[int, int, int]]] = {"light": (255, 255, 255), "dark": (0, 0, 0)}

SMALLEST_FONT_PX: Final = 8.0
"""Below, glyphs fall apart: smaller text is drawn at this size and shrunk."""
HALO: Final = 0.14
"""Width of the halo in font sizes (heights of a logo): enough to part the mark from a busy
ground, thin enough not to look like a box."""
HALO_GAIN: Final = 4.0  # a blurred edge is faint: multiply, so that it is dense next to the mark
OPACITY_STEP: Final = 0.1  # the least that the eye tells from the step before
GREY: Final = 16
"""By how much the channels and pixels of a logo of one tone differ at most: JPEG-born logos of
black or white are never exact."""

CACHED_MARKS: Final = 4
"""Two renditions, upright and sideways; a mark over all of 10000 px would be 50 MB each."""
MAX_SAMPLES: Final = 6
"""Of a mark that is repeated all over a picture, so many places spread over it are measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A mark of one size: its ``core`` and its ``halo`` as masks (L) of the same size.

    ``colours`` (RGB) are those of a coloured logo; what has none is drawn light or dark.
    ``straight`` is the size that it had before it was turned.
    """

    straight: Point
    core: Image.Image
    halo: Image.Image
    colours: Image.Image | None
    zones: Zones

    @property
    def size(self) -> Point:
        """Width and height in pixels."""
        return self.core.size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mark:
    """A mark as it is laid onto one picture: a layer (RGBA), and the top left corners.

    ``contrast`` is what ``legibility.legible`` tells of it. A corner may lie outside, where a
    pattern goes on beyond the edge.
    """

    layer: Image.Image
    places: tuple[Point, ...]
    tone: Tone
    opacity: float
    contrast: float


@lru_cache(maxsize=CACHED_MARKS)
def text_shape(text: str, box: Point, angle: float) -> Shape:
    """Return *text* as large as fits with its halo into *box* pixels, then turned by *angle*.

    The angle is in degrees, counterclockwise. The shape is shared: do not change it.
    """
    drawn = max(fitting_size(text, box, HALO), SMALLEST_FONT_PX)
    mask = letters(text, drawn)
    white = Image.new("RGBA", mask.size, "white")
    white.putalpha(mask)
    return _shape(white, drawn * HALO, box, angle, coloured=False)


@lru_cache(maxsize=CACHED_MARKS)
def logo_shape(logo: "Logo", box: Point, angle: float) -> Shape:
    """Return *logo* like ``text_shape``; enlarged too, for the mark's size is its meaning."""
    width, height = logo.picture.size
    factor = min(box[0] / (width + 2 * HALO * height), box[1] / (height + 2 * HALO * height))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return _shape(shrink(logo.picture, size), size[1] * HALO, box, angle, coloured=logo.coloured)


class Logo:
    """A picture (RGBA) to mark with; ``coloured`` unless all of it is one shade of grey."""

    def __init__(self, picture: Image.Image) -> None:
        self.picture = picture.convert("RGBA")
        pixels = np.asarray(self.picture).astype(np.int16)
        seen = pixels[pixels[..., 3] >= 128, :3]  # noqa: PLR2004  # more opaque than not
        self.coloured = bool(seen.size and int(seen.max()) - int(seen.min()) > GREY)


def lay(
    picture: Image.Image,
    shape: Shape,
    places: tuple[Point, ...],
    *,
    opacity: float,
    contrast: float,
    tone: Tone | None = None,
) -> Mark:
    """Decide how *shape* is laid onto *picture* (RGB or RGBA) so that it can be read.

    Without *tone*, a shape without colours is light on a dark ground and dark on a light one.
    If it has not got *contrast* as it is, it gets a halo of the other tone (of the better one, if
    it has colours); then the opacity rises step by step, up to 1. With contrast 1 it is as given.
    """
    crops = _samples(picture, shape, places)

    def tried(halo: Tone | None, shown: float) -> tuple[float, Image.Image]:
        layer = _layer(shape, tone, halo, shown)
        return legible(np.concatenate([_measured(crop, layer, shape) for crop in crops])), layer

    if shape.colours is not None:
        tone = "own"
    elif tone is None:
        below = sum(ground(crop) for crop in crops) / len(crops)
        tone = "dark" if below > MIDDLE else "light"
    shown = opacity
    reached, layer = tried(None, shown)
    if reached < contrast:
        halos = [halo for halo in COLOURS if halo != tone]  # both around a coloured logo
        halo = max(halos, key=lambda each: tried(each, 1)[0]) if halos[1:] else halos[0]
        reached, layer = tried(halo, shown)
        while reached < contrast and shown < 1:
            shown = min(1.0, round(shown + OPACITY_STEP, 3))
            reached, layer = tried(halo, shown)
    return Mark(
        layer=layer, places=places, tone=tone, opacity=shown, contrast=int(100 * reached) / 100
    )


def stamp(picture: Image.Image, mark: Mark) -> None:
    """Lay *mark* onto *picture* (RGB or RGBA) in place, touching nothing but what is under it."""
    for x, y in mark.places:
        if picture.mode == "RGB":
            picture.paste(mark.layer, (x, y), mark.layer)
            continue
        left, top = max(0, -x), max(0, -y)
        if left < mark.layer.width and top < mark.layer.height:
            picture.alpha_composite(mark.layer, (x + left, y + top), (left, top))


def overlay(mark: Mark, size: Point, small: Point) -> Image.Image:
    """Return what *mark* lays over a picture of *size*, reduced to *small*, as one RGBA picture.

    For comparing a marked picture with the unmarked one at a small size: composed over that,
    it gives what the marked one should look like.
    """
    scale = size[0] / small[0], size[1] / small[1]
    whole = Image.new("RGBA", small)
    for x, y in mark.places:
        left, top = int(max(0, x) / scale[0]), int(max(0, y) / scale[1])
        right = min(small[0], -int(-(x + mark.layer.width) // scale[0]))
        bottom = min(small[1], -int(-(y + mark.layer.height) // scale[1]))
        if left >= right or top >= bottom:
            continue
        # Whole pixels of the small picture: the rest of them is clear.
        start = left * scale[0], top * scale[1]
        wide = (right - left) * scale[0], (bottom - top) * scale[1]
        at = int(start[0]), int(start[1])
        canvas = Image.new("RGBA", (int(wide[0]) + 2, int(wide[1]) + 2))
        canvas.paste(mark.layer, (x - at[0], y - at[1]))
        inside = start[0] - at[0], start[1] - at[1]
        box = (*inside, inside[0] + wide[0], inside[1] + wide[1])
        reduced = canvas.resize((right - left, bottom - top), Image.Resampling.BOX, box)
        whole.alpha_composite(reduced, (left, top))
    return whole


def _samples(picture: Image.Image, shape: Shape, places: tuple[Point, ...]) -> list[Image.Image]:
    """Return what is below the mark, at some places; rather at those that lie inside."""
    width, height = shape.size
    room = picture.width - width, picture.height - height
    inside = [at for at in places if 0 <= at[0] <= room[0] and 0 <= at[1] <= room[1]] or places
    spread = [inside[i * len(inside) // MAX_SAMPLES] for i in range(MAX_SAMPLES)]
    return [picture.crop((x, y, x + width, y + height)) for x, y in dict.fromkeys(spread)]


def _shape(drawn: Image.Image, halo: float, box: Point, angle: float, *, coloured: bool) -> Shape:
    """Return *drawn* (RGBA) with room for a halo of *halo* pixels, within *box*, then turned."""
    width = max(1, round(halo))
    size = (drawn.width + 2 * width, drawn.height + 2 * width)
    roomy = Image.new("RGBA", size)
    roomy.paste(drawn, (width, width))
    factor = min(1.0, box[0] / size[0], box[1] / size[1])
    if factor < 1:  # rounding, or a tiny box
        roomy = shrink(roomy, (max(1, int(size[0] * factor)), max(1, int(size[1] * factor))))
    straight = roomy.size
    if angle:
        roomy = roomy.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    core = roomy.getchannel("A")
    blurred = core.filter(ImageFilter.GaussianBlur(width / 2))
    dense = blurred.point(lambda value: min(255, value * HALO_GAIN))
    colours = roomy.convert("RGB") if coloured else None
    return Shape(straight, core, dense, colours, zones(core, dense, width))


@lru_cache(maxsize=CACHED_MARKS)
def _layer(shape: Shape, tone: Tone, halo: Tone | None, opacity: float) -> Image.Image:
    """Return *shape* in its colours, RGBA, on a halo if there is one; all of it faded."""
    if shape.colours is None:
        layer = Image.new("RGB", shape.size, COLOURS[tone])
    else:
        layer = shape.colours.copy()
    layer.putalpha(shape.core)
    if halo is not None:
        haloed = Image.new("RGB", shape.size, COLOURS[halo])
        haloed.putalpha(shape.halo)
        layer = Image.alpha_composite(haloed, layer)
    layer.putalpha(layer.getchannel("A").point([round(value * opacity) for value in range(256)]))
    return layer


def _measured(crop: Image.Image, layer: Image.Image, shape: Shape) -> NDArray[np.float64]:
    marked = crop.copy()
    stamp(marked, Mark(layer=layer, places=((0, 0),), tone="own", opacity=1, contrast=1))
    return contrasts(marked, shape.zones)
