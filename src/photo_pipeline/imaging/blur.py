"""Make faces in a picture unrecognisable, for good."""

from collections.abc import Iterable
from math import ceil, floor
from typing import Final

from PIL import Image, ImageDraw

from photo_pipeline.domain.stage import Box

BESIDE: Final = 0.3
"""By how much of the face's width the region is wider, on each side: ears, hair."""
ABOVE: Final = 0.4
"""By how much of its height it is higher: the detector's box begins at the forehead."""
BELOW: Final = 0.3
"""The chin and some neck. An ellipse must be larger than its box by 0.21 on each side to hold all
of it."""
CELLS: Final = 6
"""Cells across the shorter side of the region, some four across the face: of a face there remain
20 mean colours, and neither eyes nor mouth have a cell of their own. A Gaussian blur or a fine
mosaic keeps enough to find the person among others with a trained network, even where people
see nothing: McPherson, Shokri and Shmatikov, "Defeating image obfuscation with deep learning"
(2016); Hill, Zhou, Saul and Shacham, "On the (in)effectiveness of mosaicing and blurring as
tools for document redaction" (2016)."""


def hide(image: Image.Image, faces: Iterable[Box]) -> None:
    """Blur *faces* (boxes in fractions) in place, in a picture that is RGB or RGBA.

    Each in an ellipse around the box that is larger by fixed shares. The region is averaged to a
    few cells, and these are drawn into one another: nothing else of it is left, so that no
    deconvolution brings anything back. The edge is hard, for a soft one would mix in what
    was there. Transparency stays. The same picture and boxes give the same pixels.
    """
    for box in faces:
        _hide(image, _grown(box, image.size))


def _hide(image: Image.Image, ellipse: tuple[float, float, float, float]) -> None:
    left, top = max(0, floor(ellipse[0])), max(0, floor(ellipse[1]))
    right, bottom = min(image.width, ceil(ellipse[2])), min(image.height, ceil(ellipse[3]))
    if right <= left or bottom <= top:
        return
    region = image.crop((left, top, right, bottom))
    cell = min(region.size) / CELLS
    few = max(1, round(region.width / cell)), max(1, round(region.height / cell))
    soft = region.resize(few, Image.Resampling.BOX).resize(region.size, Image.Resampling.BILINEAR)
    if region.mode == "RGBA":
        soft.putalpha(region.getchannel("A"))
    mask = Image.new("L", region.size)
    place = ellipse[0] - left, ellipse[1] - top, ellipse[2] - left, ellipse[3] - top
    ImageDraw.Draw(mask).ellipse(place, fill=255)
    image.paste(soft, (left, top), mask)


def _grown(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the rectangle around the ellipse, in pixels; it may project beyond the picture."""
    left, top, width, height = box
    return (
        (left - BESIDE * width) * size[0],
        (top - ABOVE * height) * size[1],
        (left + (1 + BESIDE) * width) * size[0],
        (top + (1 + BELOW) * height) * size[1],
    )
