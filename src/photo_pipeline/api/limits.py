"""What an upload may be, and how many there may be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits at the door, from the settings."""

    upload_bytes: int
    pixels: int
    uploads: int  # at a time
    reserve_bytes: int  # of the storage, which no upload may use
