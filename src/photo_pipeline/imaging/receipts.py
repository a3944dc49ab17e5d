"""Both receipts of what a stage has made, from the encoded bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.stage import Picture
from photo_pipeline.errors import FidelityViolationError, PrivacyViolationError
from photo_pipeline.imaging.fidelity import Made, fidelity
from photo_pipeline.imaging.metadata import Metadata
from photo_pipeline.imaging.privacy import privacy


@dataclass(frozen=True, slots=True)
class Claim:
    """What an encoded rendition should be: how it looks, and what it says.

    *source* is what the stage's input said, *fields* what of it the rendition was to carry.
    """

    made: Made
    source: Metadata
    fields: Mapping[str, str]


def receipts(claims: Mapping[str, Claim]) -> dict[str, Receipt]:
    """Return a receipt for each rendition, by name; of equal ones, the same."""
    known: dict[tuple[int, object, str], Receipt] = {}
    keys = {
        name: (id(claim.made.data), claim.made.region, claim.made.background)
        for name, claim in claims.items()
    }
    distinct = {keys[name]: claim for name, claim in claims.items()}
    looks = fidelity([claim.made for claim in distinct.values()])
    for (key, claim), look in zip(distinct.items(), looks, strict=True):
        said = privacy(claim.made.data, claim.source, claim.fields)
        known[key] = Receipt(privacy=said, fidelity=look)
    return {name: known[key] for name, key in keys.items()}


def certified(pictures: Sequence[Picture], claims: Mapping[str, Claim]) -> tuple[Picture, ...]:
    """Return *pictures* with their receipts.

    Raises PrivacyViolationError or FidelityViolationError for the first that must not be
    published.
    """
    written = receipts(claims)
    for name, receipt in written.items():
        if receipt.leaks:
            raise PrivacyViolationError(f"rendition {name}: {', '.join(receipt.leaks)}")
        if receipt.deviations:
            raise FidelityViolationError(f"rendition {name}: {', '.join(receipt.deviations)}")
    return tuple(replace(picture, receipt=written[picture.name]) for picture in pictures)
