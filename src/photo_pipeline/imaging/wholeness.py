"""Is every pixel of a JPEG in the file, even if its end is missing?

libjpeg fills what is missing from a cut file with flat blocks, and says so only in a warning
that nobody hears. But what it makes of the bytes behind the last pixel does not matter: so a
file is decoded with two different endings, and if both give the same picture, nothing was
missing.
"""

import io
from typing import Final

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

END: Final = b"\xff\xd9"
FILLERS: Final = (b"", b"\x55" * 512, b"\xb2\x4d" * 256)
"""Bits that read as coefficients of many kinds, and hold no marker. They mend nothing: no more
than some blocks come out of 512 bytes, and a row of them differs from none."""
SMALL: Final = 8

FLAT_CORNER: Final = (64, 16)
"""Pixels of the file, right and bottom: what was filled is flat there, what a camera took hardly
ever is."""


def is_whole(data: bytes, scale: int = 1) -> bool:
    """Say whether the pixels of the JPEG *data* do not depend on what may follow.

    At 1/*scale* (1, 2, 4 or 8) that is decided at half the cost, but for the last details.
    """
    end = data.rfind(END)
    body = data.rstrip(b"\xff") if end < 0 else data[:end]
    found = set()
    for filler in FILLERS:
        image = JpegImageFile(io.BytesIO(body + filler + END))
        image.draft(None, (image.width // scale, image.height // scale))
        image.load()
        found.add(image.tobytes())
    return len(found) == 1


def may_be_filled(image: Image.Image, scale: int) -> bool:
    """Say whether the last corner of *image*, decoded at 1/*scale*, is flat."""
    width, height = (max(1, side // scale) for side in FLAT_CORNER)
    corner = image.crop(
        (max(0, image.width - width), max(0, image.height - height), image.width, image.height)
    )
    bands = corner.getextrema()
    if isinstance(bands[0], tuple):
        return all(low == high for low, high in bands)
    return bands[0] == bands[1]
