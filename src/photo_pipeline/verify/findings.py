"""What a verification has found, as values."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from photo_pipeline.domain.status import PhotoStatus


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that is not as it must be: of which photo, which picture, what, and how.

    ``rendition`` may be ``original``; ``what`` is the error code of what could not be read or
    compared, or one of ``bytes``, ``sha256``, ``privacy`` and ``fidelity``.
    """

    photo_id: str
    rendition: str
    what: str
    value: str

    def __str__(self) -> str:
        return f"{self.photo_id} {self.rendition}: {self.what}: {self.value}"


@dataclass(slots=True)
class Findings:
    """What was looked at, and what was wrong.

    ``older`` are renditions made by another version of their stage, of which only the bytes and
    the metadata can be judged; ``changed`` are photos that changed while they were looked at.
    """

    photos: int = 0
    renditions: int = 0
    older: int = 0
    changed: int = 0
    skipped: Counter[PhotoStatus] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "photos": self.photos,
            "renditions": self.renditions,
            "older": self.older,
            "changed": self.changed,
            "skipped": {status.value: count for status, count in sorted(self.skipped.items())},
            "violations": [asdict(violation) for violation in self.violations],
        }

    def summary(self) -> str:
        """Return the counts as one line."""
        skipped = ", ".join(f"{count} {status}" for status, count in sorted(self.skipped.items()))
        parts = [
            f"{self.photos} photos, {self.renditions} renditions checked",
            f"skipped: {skipped}" if skipped else "",
            f"{self.changed} changed meanwhile" if self.changed else "",
            f"{self.older} renditions of another version" if self.older else "",
            f"{len(self.violations)} violations",
        ]
        return "; ".join(part for part in parts if part)
