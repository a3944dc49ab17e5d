"""What an upload may be, how many there may be, and how long a trial may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits at the door and of a trial, from the settings."""

    upload_bytes: int
    pixels: int
    uploads: int  # at a time
    reserve_bytes: int  # of the storage, which no upload may use
    trial_s: float
