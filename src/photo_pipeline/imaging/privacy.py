"""The privacy receipt: look into an encoded rendition for what must not be published.

The file is walked byte by byte, by its container's rules and not by the encoder's word. What is
allowed is the picture itself and the fields that were to be kept, with just the values that they
were to have; everything else is counted.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from photo_pipeline.domain.receipt import PrivacyReceipt
from photo_pipeline.imaging.blocks import Kind
from photo_pipeline.imaging.metadata import Metadata, items

STANDARDS: Final = frozenset({Kind.EXIF, Kind.XMP})
"""In which we write; the same field elsewhere is not ours."""


def privacy(data: bytes, source: Metadata, expected: Mapping[str, str]) -> PrivacyReceipt:
    """Return the receipt of the rendition *data* of a photo that said *source*.

    *expected* are the fields that it was to carry. ``found`` of the receipt counts by group what
    is there beside them; nothing in it is the proof of absence.
    """
    kept: dict[str, str] = {}
    found: Counter[str] = Counter()
    present = set()
    for standard, item in items(data, deep=True):
        present.add(item.group)
        allowed = standard in STANDARDS and item.field and expected.get(item.field) == item.value
        if allowed:
            kept[item.field] = item.value
        else:
            found[item.group.value] += 1
    return PrivacyReceipt(
        removed=tuple(sorted(group.value for group in source.groups - present)),
        kept=kept,
        found=dict(sorted(found.items())),
    )
