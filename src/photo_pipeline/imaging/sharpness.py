"""How sharp a picture is."""

from typing import Any, Final

from PIL import Image, ImageFilter, ImageStat

LAPLACIAN: Final = (0, 1, 0, 1, -4, 1, 0, 1, 0)
BLURRED_BELOW: Final = 12.0
SOFT_BELOW: Final = 50.0
"""Variances at 640 px, set by 40 wallpaper photographs: of the sharp ones 85 % lie above 50; of
the same blurred by a Gaussian of 1 px 80 % lie below 50, of 2 px 97 % below 12. Pictures
without detail, such as sky or fog, cannot be told from blurred ones."""


def sharpness(luma: Image.Image) -> dict[str, Any]:
    """Return the variance of the Laplacian and a verdict: sharp, soft or blurred.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (ICPR 2000), with the
    four-neighbour kernel, over all pixels but the border. Pillow clips negative results, so
    they are taken from the negated kernel; beyond +-255 both saturate, where sharp is certain.
    """
    if min(luma.size) < 3:  # noqa: PLR2004  # no pixel has all neighbours
        return {"variance_of_laplacian": 0.0, "verdict": "blurred"}
    inner = (1, 1, luma.width - 1, luma.height - 1)
    sides = [
        ImageStat.Stat(luma.filter(ImageFilter.Kernel((3, 3), kernel, scale=1)).crop(inner))
        for kernel in (LAPLACIAN, tuple(-weight for weight in LAPLACIAN))
    ]
    count = sides[0].count[0]
    mean = (sides[0].sum[0] - sides[1].sum[0]) / count
    variance = (sides[0].sum2[0] + sides[1].sum2[0]) / count - mean**2
    verdict = "sharp" if variance >= SOFT_BELOW else "soft"
    if variance < BLURRED_BELOW:
        verdict = "blurred"
    return {"variance_of_laplacian": round(variance, 2), "verdict": verdict}
