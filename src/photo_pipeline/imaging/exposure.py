"""How light a picture is."""

from typing import Any, Final

from PIL import Image

CLIPPED_SHADOW: Final = 2
CLIPPED_HIGHLIGHT: Final = 253
"""Luma of 255: JPEG moves a clipped pixel by one or two."""
UNDER_BELOW: Final = 0.2
OVER_ABOVE: Final = 0.8
"""Mean luma: middle grey is 0.46 in sRGB; two stops less is 0.23, one stop more 0.63. Snow or
night are exposed so on purpose: the verdict is about the pixels, not about the intent."""


def exposure(luma: Image.Image, visible: Image.Image | None) -> dict[str, Any]:
    """Return mean luma (0 to 1), the shares of clipped pixels and a verdict.

    Of the pixels in *visible*, a mask of the same size. Luma is Rec. ITU-R BT.601 on sRGB
    values, as Pillow converts to L.
    """
    histogram = luma.histogram(visible)
    count = sum(histogram)
    mean = sum(value * pixels for value, pixels in enumerate(histogram)) / (255 * count)
    verdict = "under" if mean < UNDER_BELOW else "over" if mean > OVER_ABOVE else "normal"
    return {
        "mean": round(mean, 4),
        "clipped_shadows": round(sum(histogram[: CLIPPED_SHADOW + 1]) / count, 4),
        "clipped_highlights": round(sum(histogram[CLIPPED_HIGHLIGHT:]) / count, 4),
        "verdict": verdict,
    }
