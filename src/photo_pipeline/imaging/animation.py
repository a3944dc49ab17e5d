"""Animations: all frames as people see them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import Image
from PIL.ImageFile import ImageFile

from photo_pipeline.imaging import orientation
from photo_pipeline.imaging.colour import to_srgb
from photo_pipeline.imaging.header import only_our_errors, reopened
from photo_pipeline.imaging.modes import as_mode, plain
from photo_pipeline.imaging.scale import Region, shrink

MAX_FRAMES: Final = 1_000
"""At the usual 10 to 25 frames a second one minute or more: beyond, it is a film."""
MAX_DECODED_PIXELS: Final = 400_000_000
"""All frames at the size of the canvas: some ten seconds of decoding."""
MAX_HELD_PIXELS: Final = 50_000_000
"""All frames at the size of the rendition, in memory at once: 200 MB, and as much to encode."""
LEAST_DURATION_MS: Final = 11
"""Browsers show frames that ask for 10 ms or less for 100 ms: such files do not mean it."""
USUAL_DURATION_MS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """An animation: pictures (RGB or RGBA, sRGB) of one size, and how long each is shown.

    ``loop`` is how often it is played, 0 for ever.
    """

    images: tuple[Image.Image, ...]
    durations_ms: tuple[int, ...]
    loop: int


def frame_count(data: bytes) -> int:
    """Return how many frames there are to be seen in turn: 1 for a still picture.

    Raises the errors of ``open_upright``. Pages of a TIFF and pictures of a HEIC are no frames.
    """
    source = reopened(data)
    with only_our_errors():
        return _last(source) - _first(source)


def holdable(data: bytes, size: tuple[int, int]) -> bool:
    """Say whether the animation in *data* is within the limits when made *size* pixels large."""
    source = reopened(data)
    with only_our_errors():
        count = _last(source) - _first(source)
        return (
            count <= MAX_FRAMES
            and count * source.width * source.height <= MAX_DECODED_PIXELS
            and count * size[0] * size[1] <= MAX_HELD_PIXELS
        )


def open_frames(data: bytes, size: tuple[int, int], crop: Region = (0, 0, 1, 1)) -> Frames:
    """Return every frame, upright, in sRGB, its part *crop* resampled to *size*.

    *crop* is left, top, right and bottom in fractions of the displayed picture. Raises the
    errors of ``open_upright``.
    """
    source = reopened(data)
    turn = orientation.orientation(source)
    with only_our_errors():
        shown = list(_shown(source, turn, size, crop))
        loop = int(source.info.get("loop", PLAYED.get(str(source.format), 1)))
    transparent = any(image.mode == "RGBA" for image, _ in shown)
    images = [as_mode(image, "RGBA") if transparent else image for image, _ in shown]
    return Frames(
        images=tuple(images), durations_ms=tuple(duration for _, duration in shown), loop=loop
    )


def _shown(
    source: ImageFile, turn: int, size: tuple[int, int], crop: Region
) -> Iterator[tuple[Image.Image, int]]:
    for number in range(_first(source), _last(source)):
        source.seek(number)
        source.load()
        duration = round(source.info.get("duration", 0))
        frame = orientation.upright(plain(source.copy()), turn)
        across, down = frame.size
        region = (crop[0] * across, crop[1] * down, crop[2] * across, crop[3] * down)
        image = to_srgb(shrink(frame, size, region), source.info.get("icc_profile"))
        image = as_mode(image, "RGBA" if image.mode.endswith("A") else "RGB")
        image.info = {}
        yield image, duration if duration >= LEAST_DURATION_MS else USUAL_DURATION_MS


def _first(source: ImageFile) -> int:
    """Return the number of the first frame: a PNG may begin with a picture for old readers."""
    return 1 if source.info.get("default_image") and _last(source) > 1 else 0


def _last(source: ImageFile) -> int:
    if source.format not in ANIMATED:
        return 1
    return int(getattr(source, "n_frames", 1))


PLAYED: Final = {"AVIF": 0}
"""How often an animation is played that does not say: a GIF once, an AVIF for ever."""

ANIMATED: Final = frozenset({"GIF", "PNG", "WEBP", "AVIF"})
"""Pillow's names of the formats whose further pictures are frames, not pages or previews."""
