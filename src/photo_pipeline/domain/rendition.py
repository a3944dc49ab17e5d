"""What a rendition is to be: its name, its size and how it is written."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from photo_pipeline.domain.encoding import Encoding
from photo_pipeline.domain.stage import ORIGINAL

MAX_SIDE: Final = 10_000
"""Longest side of a rendition in pixels: 100 million pixels, as many as a photo may have."""

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]


class RenditionParameters(Encoding):
    """One rendition: the photo at one size, in one format.

    Either ``longest_side`` or ``width`` and ``height`` say how large it is, in pixels. With
    ``fit = "fit"`` the whole photo is shown, inside that box (a width or a height alone leaves
    the other free); with ``"fill"`` it fills a box of both, and what projects is cut off. What
    stays then is decided by the upload's focal point; else by the faces that an earlier run has
    found; else by ``gravity``: ``"smart"`` keeps what draws the eye, ``"centre"`` the middle. A
    rendition is never larger than the photo, unless ``enlarge`` says so: one that would have to
    be is as large as the photo allows, in the proportions asked for. Of an animation the
    rendition is the first frame, or with ``animation = "all"``, as WebP, all of them.
    """

    name: Name
    longest_side: Side | None = None
    width: Side | None = None
    height: Side | None = None
    fit: Literal["fit", "fill"] = "fit"
    gravity: Literal["smart", "centre"] = "smart"
    enlarge: bool = False
    animation: Literal["first", "all"] = "first"

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.name == ORIGINAL:
            raise ValueError(f"{ORIGINAL!r} is the name of the upload")
        boxed = self.width is not None or self.height is not None
        if boxed == (self.longest_side is not None):
            raise ValueError("either longest_side, or width and height")
        if self.fit == "fill" and not (self.width and self.height):
            raise ValueError("to fill a box takes its width and its height")
        if self.animation == "all" and self.format != "webp":
            raise ValueError('animation = "all" takes format = "webp"')
        return self

    def shape(self, displayed: tuple[int, int]) -> tuple[int, int]:
        """Return the box that is filled, or for a fitted picture *displayed* itself."""
        if self.fit == "fill" and self.width and self.height:
            return self.width, self.height
        return displayed

    def size(self, displayed: tuple[int, int]) -> tuple[int, int]:
        """Return width and height for a photo of the size *displayed*, rounded half up."""
        if self.fit == "fill" and self.width and self.height:
            box = self.width, self.height
            if self.enlarge or (box[0] <= displayed[0] and box[1] <= displayed[1]):
                return box
            # As much of the photo in these proportions as there is.
            if displayed[0] * box[1] <= displayed[1] * box[0]:
                return scaled(box, displayed[0], box[0])
            return scaled(box, displayed[1], box[1])
        limits = [(self.longest_side, max(displayed))] if self.longest_side else []
        limits += [(self.width, displayed[0])] if self.width else []
        limits += [(self.height, displayed[1])] if self.height else []
        part, whole = min(limits, key=lambda limit: limit[0] / limit[1])
        return displayed if part > whole and not self.enlarge else scaled(displayed, part, whole)


def scaled(size: tuple[int, int], part: int, whole: int) -> tuple[int, int]:
    """Return *size* times *part* / *whole*, each side rounded half up, 1 px at least."""
    width, height = (max(1, (2 * side * part + whole) // (2 * whole)) for side in size)
    return width, height
