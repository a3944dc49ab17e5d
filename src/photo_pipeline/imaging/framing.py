"""What each rendition of a photo shows, and at which size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

from photo_pipeline.domain.rendition import RenditionParameters
from photo_pipeline.domain.stage import Box, Subject
from photo_pipeline.imaging.crop import WHOLE, crop_region
from photo_pipeline.imaging.saliency import saliency
from photo_pipeline.imaging.scale import Region, shrink

EXACTLY: Final = 1e-9  # fractions of a picture, computed in two ways


@dataclass(frozen=True, slots=True, kw_only=True)
class Framed:
    """A rendition of one photo: its size in pixels, and the part of the photo that it shows."""

    rendition: RenditionParameters
    size: tuple[int, int]
    region: Region

    @property
    def box(self) -> Box:
        """The region as left, top, width and height."""
        left, top, right, bottom = self.region
        return left, top, right - left, bottom - top

    @property
    def longest_side(self) -> float:
        """The longest side, in pixels, that the whole photo has at this rendition's scale."""
        left, top, right, bottom = self.region
        return max(self.size[0] / (right - left), self.size[1] / (bottom - top))


def framed(
    renditions: Iterable[RenditionParameters],
    displayed: tuple[int, int],
    subject: Subject,
    image: Image.Image | None = None,
) -> list[Framed]:
    """Return how each rendition is framed in a photo of the size *displayed*.

    *image* is the photo at any size: without it, what is cut by gravity is cut in the middle.
    """
    found = []
    interest = None
    for rendition in renditions:
        shape = rendition.shape(displayed)
        region = WHOLE
        if shape != displayed:
            smart = rendition.gravity == "smart"
            if image is not None and smart and interest is None:
                interest = saliency(image)
            region = crop_region(
                displayed,
                shape,
                focal_point=subject.focal_point,
                faces=subject.faces,
                interest=interest if smart else None,
            )
        found.append(Framed(rendition=rendition, size=rendition.size(displayed), region=region))
    return found


def render(frames: Sequence[Image.Image], one: Framed) -> Image.Image:
    """Return *one*, resampled from the smallest of *frames* that is large enough, or the first.

    *frames* are the whole photo, from large to small: each rendition from the next larger one
    costs half of what all from the full photo do, at 54 dB from their result, which the
    encoder's loss hides.
    """
    needed = one.longest_side - 0.5  # sizes are rounded to whole pixels
    frame = next((frame for frame in reversed(frames) if max(frame.size) >= needed), frames[0])
    width, height = frame.size
    left, top, right, bottom = one.region
    region = (left * width, top * height, right * width, bottom * height)
    size = one.size
    if one.region == WHOLE and frame is frames[0] and not one.rendition.enlarge:
        # The first may be a little smaller than asked for, within the tolerance.
        size = min(size[0], width), min(size[1], height)
    return shrink(frame, size, region)
