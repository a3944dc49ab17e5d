"""Bring pictures into sRGB by their embedded ICC profile."""

import io
from functools import lru_cache
from typing import Final

from PIL import Image, ImageCms

from photo_pipeline.imaging.modes import as_mode

MODES: Final[dict[str, dict[str, str]]] = {
    "RGB": {"L": "RGB", "LA": "RGBA", "RGB": "RGB", "RGBA": "RGBA"},
    "GRAY": {"L": "L", "LA": "LA"},
    "CMYK": {"CMYK": "CMYK"},
}
"""By the profile's colour space and the picture's mode: the mode in which the profile applies."""

BROKEN: Final = "broken"
NOTHING_TO_DO: Final = "nothing to do"

CACHED_PROFILES: Final = 4
"""Photos of one upload tend to share a profile; a press profile may have 2 MiB."""
GRID: Final = 6  # steps of each channel when asking whether a profile is sRGB
IDENTITY_TOLERANCE: Final = 2  # of 255: how far the many sRGB profiles in use differ


def is_usable(profile: bytes, mode: str) -> bool:
    """Say whether *profile* is whole and describes pixels of *mode*."""
    return _transform(profile, mode) is not BROKEN


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an L, LA, RGB, RGBA or CMYK picture in sRGB, as L, LA, RGB or RGBA.

    Colours are mapped relative-colorimetrically with black point compensation (ISO 18619), the
    usual choice for photographs. A profile that is not usable, or sRGB itself, changes nothing;
    CMYK without a profile is converted naively.
    """
    transform = _transform(profile, image.mode) if profile else NOTHING_TO_DO
    if isinstance(transform, str):
        return as_mode(image, "RGB") if image.mode == "CMYK" else image
    if transform.input_mode == "L":
        grey = _apply(image.getchannel("L"), transform)
        if image.mode == "LA":
            grey.putalpha(image.getchannel("A"))
        return grey
    return _apply(as_mode(image, transform.input_mode), transform)


def _apply(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:  # only with inPlace=True, which shared pictures forbid
        raise AssertionError
    return converted


@lru_cache(maxsize=CACHED_PROFILES)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | str:
    """Return the way from *profile* to sRGB for pictures of *mode*, or why there is none."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        applied = MODES[source.profile.xcolor_space.strip()][mode].replace("LA", "L")
        transform = ImageCms.buildTransform(
            source,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            applied,
            "RGBA" if applied == "RGBA" else "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, KeyError, TypeError, ValueError):
        return BROKEN
    return NOTHING_TO_DO if _is_identity(transform) else transform


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """Say whether *transform* leaves a grid of colours as it is, so that pixels can be too."""
    if not transform.input_mode.startswith("RGB"):
        return False
    steps = [round(255 * i / (GRID - 1)) for i in range(GRID)]
    grid = bytes(v for r in steps for g in steps for b in steps for v in (r, g, b))
    before = Image.frombytes("RGB", (GRID**3, 1), grid).convert(transform.input_mode)
    after = _apply(before, transform).tobytes()
    return all(
        abs(a - b) <= IDENTITY_TOLERANCE for a, b in zip(before.tobytes(), after, strict=True)
    )
