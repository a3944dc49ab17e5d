"""Hashes of what a picture looks like: near ones mean that two pictures are alike.

Both survive another size, quality or format, and small changes of tone; a mirrored, turned or
cropped picture is another one. A picture without detail, such as a plain ground, has a hash
like every other one.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from PIL import Image

DCT_SIDE: Final = 32
LOW: Final = 8
"""Of 32 x 32 frequencies the lowest 8 x 8: 64 bits."""
COSINE_SCALE: Final = 1 << 14
"""Cosines as whole numbers: sums are exact, so the bits are the same on every machine."""

_ANGLES: Final = np.outer(np.arange(LOW), 2 * np.arange(DCT_SIDE) + 1) * np.pi / (2 * DCT_SIDE)
_COSINES: Final = np.rint(np.cos(_ANGLES) * COSINE_SCALE).astype(np.int64)


def dhash(luma: Image.Image) -> str:
    """Return the difference hash, 64 bits as 16 hexadecimal digits.

    Krawetz, "Kind of like that" (2013): shrink to 9 x 8, a bit for each pixel brighter than
    its left neighbour, by rows. The same bits as ``imagehash.dhash``.
    """
    small = luma.resize((9, 8), Image.Resampling.LANCZOS).tobytes()
    rows = [small[i : i + 9] for i in range(0, 72, 9)]
    return _hexadecimal([right > left for row in rows for left, right in pairwise(row)])


def phash(luma: Image.Image) -> str:
    """Return the perceptual hash, 64 bits as 16 hexadecimal digits.

    Zauner, "Implementation and benchmarking of perceptual image hash functions" (2010): shrink
    to 32 x 32, a bit for each of the 8 x 8 lowest frequencies (type-II discrete cosine
    transform) above their median, by rows.
    """
    small = luma.resize((DCT_SIDE, DCT_SIDE), Image.Resampling.LANCZOS)
    frequencies = (_COSINES @ np.asarray(small, np.int64) @ _COSINES.T).ravel()
    return _hexadecimal((frequencies > np.median(frequencies)).tolist())


def _hexadecimal(bits: list[bool]) -> str:
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):016x}"
