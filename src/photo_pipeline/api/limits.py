"""How large an upload may be, and how long a trial may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits at the door and of a trial, from the settings."""

    upload_bytes: int
    pixels: int
    trial_s: float
