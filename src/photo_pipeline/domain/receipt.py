"""Receipts: what was found in a rendition when it was opened again after writing."""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

MIN_SSIM: Final = 0.75
MAX_COLOUR_DIFFERENCE: Final = 5.0
"""Measured over photographs and drawn pictures at qualities from 30 to 95 in every format and at
sizes from 16 px on: right renditions have 0.94 and 3.7 at worst, pure noise 0.83 and 2.9.
Inverted, turned, mirrored, half grey, with swapped channels or too bright, photographs fall
below 0.75 or exceed 5. Colours of a wider space taken for sRGB differ by 1 to 4 only: that is
told, and stays within the bounds."""


class _Receipt(BaseModel):
    model_config = ConfigDict(frozen=True)


class PrivacyReceipt(_Receipt):
    """Which metadata went, which stayed, and the proof of absence.

    ``removed`` names the groups that the source had and the rendition has not, ``kept`` the
    fields that the rendition carries, with their values. ``found`` counts, by group, what must
    not be there.
    """

    removed: tuple[str, ...] = ()
    kept: Mapping[str, str] = Field(default_factory=dict)
    found: Mapping[str, int] = Field(default_factory=dict)


class FidelityReceipt(_Receipt):
    """How near the rendition is to the colour-managed, upright source, at a small size.

    ``ssim`` is the structural similarity (Wang et al. 2004), 1 for equal; ``colour_difference``
    the mean CIEDE2000 (ISO/CIE 11664-6), 0 for equal. A picture with a side below 16 px has no
    structure to compare: its ``ssim`` is None, and no bound holds for it.
    """

    ssim: float | None
    colour_difference: float


UNLIKE: Final = FidelityReceipt(ssim=-1.0, colour_difference=100.0)
"""Of what cannot be decoded, or has another shape: nothing can be compared."""


class Receipt(_Receipt):
    """Both receipts of one rendition."""

    privacy: PrivacyReceipt
    fidelity: FidelityReceipt

    @property
    def leaks(self) -> tuple[str, ...]:
        """Say, by group, what must not be in the rendition."""
        return tuple(f"{group}: {count}" for group, count in self.privacy.found.items())

    @property
    def deviations(self) -> tuple[str, ...]:
        """Say in which way the rendition differs too much from its photo."""
        if self.fidelity == UNLIKE:
            return ("cannot be compared: not decodable, or of another shape",)
        if self.fidelity.ssim is None:
            return ()
        seen = []
        if self.fidelity.ssim < MIN_SSIM:
            seen.append(f"ssim: {self.fidelity.ssim} < {MIN_SSIM}")
        if self.fidelity.colour_difference > MAX_COLOUR_DIFFERENCE:
            difference = self.fidelity.colour_difference
            seen.append(f"colour_difference: {difference} > {MAX_COLOUR_DIFFERENCE}")
        return tuple(seen)

    def violations(self) -> tuple[str, ...]:
        """Say everything for which the rendition must not be published."""
        return self.leaks + self.deviations
