"""Both receipts of what a stage has made, from the encoded bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.stage import Picture
from photo_pipeline.errors import FidelityViolationError, PrivacyViolationError
from photo_pipeline.imaging.fidelity import Made, Reference, fidelity
from photo_pipeline.imaging.metadata import Metadata
from photo_pipeline.imaging.privacy import privacy


def receipts(
    made: Mapping[str, Made],
    reference: Reference,
    source: Metadata,
    expected: Mapping[str, str],
) -> dict[str, Receipt]:
    """Return a receipt for each of the encoded renditions *made*, by name.

    *reference* is what they should look like, *source* what the stage's input said, *expected*
    the fields of it that they were to carry.
    """
    looks = fidelity(list(made.values()), reference)
    return {
        name: Receipt(privacy=privacy(one.data, source, expected), fidelity=look)
        for (name, one), look in zip(made.items(), looks, strict=True)
    }


def certified(
    pictures: Sequence[Picture],
    reference: Reference,
    source: Metadata,
    expected: Mapping[str, str],
    made: Mapping[str, Made] | None = None,
) -> tuple[Picture, ...]:
    """Return *pictures* with their receipts; *made* says of which region and ground they are.

    Raises PrivacyViolationError or FidelityViolationError for the first that must not be
    published.
    """
    given = {picture.name: Made(picture.data) for picture in pictures} | dict(made or {})
    written = receipts(given, reference, source, expected)
    for name, receipt in written.items():
        if receipt.leaks:
            raise PrivacyViolationError(f"rendition {name}: {', '.join(receipt.leaks)}")
        if receipt.deviations:
            raise FidelityViolationError(f"rendition {name}: {', '.join(receipt.deviations)}")
    return tuple(replace(picture, receipt=written[picture.name]) for picture in pictures)
