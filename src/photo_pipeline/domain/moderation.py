"""Whether a photo may be shown: what detection and people have said about it.

A preset's gate is closed until detection has passed a photo. Nothing passes because nothing
looked: a photo that the detector did not look at waits for a person, as one does that it doubts.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

UNSAFE: Final = "unsafe"
"""The detector that moderation relies on; also the fact that it gives: ``score``, ``band``."""


class Gate(StrEnum):
    """What a preset does with photos that detection doubts."""

    OFF = "off"  #: everything is served at once
    HOLD = "hold"  #: ``review`` and ``block`` wait for a person
    BLOCK = "block"  #: ``review`` waits for a person; ``block`` is refused, and may be appealed


class Verdict(StrEnum):
    """Where a photo with a gate stands."""

    PENDING = "pending"  #: detection has not looked yet
    PASSED = "passed"  #: detection has no doubt
    REVIEW = "review"  #: waits for a person
    BLOCKED = "blocked"  #: refused by detection; a person may say otherwise
    APPROVED = "approved"  #: by a person
    REJECTED = "rejected"  #: by a person


RELEASED: Final = frozenset({Verdict.PASSED, Verdict.APPROVED})
"""With these the photo is served; with all others nothing but its status."""
WAITING: Final = (Verdict.REVIEW, Verdict.BLOCKED)
"""These stand in the review list."""
BY_A_PERSON: Final = (Verdict.APPROVED, Verdict.REJECTED)


class Moderation(BaseModel):
    """The verdict on a photo, who gave it, why, and when.

    ``score`` (0 to 1) and ``band`` (ok, review, block) are what detection said, None if it did
    not look. ``by`` is None where no person has decided.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    gate: Gate
    verdict: Verdict = Verdict.PENDING
    score: float | None = None
    band: str | None = None
    reason: str | None = None
    by: str | None = None
    at: datetime | None = None

    @property
    def released(self) -> bool:
        """Whether the photo may be served."""
        return self.verdict in RELEASED


def awaiting(gate: Gate, before: Moderation | None = None) -> Moderation | None:
    """Return how moderation of a run begins; None without a gate.

    What a person has said of the photo *before* stands: a preset without a gate is no way around
    a rejection.
    """
    if before is not None and before.verdict in BY_A_PERSON:
        kept = before.model_copy(update={"gate": gate})
        return None if gate is Gate.OFF and kept.released else kept
    if gate is Gate.OFF:
        return None
    return Moderation(gate=gate)


def judged(before: Moderation, facts: Mapping[str, Any], at: datetime) -> Moderation:
    """Return the verdict after detection has found *facts*; a person's word stands."""
    report = facts.get("detectors", {}).get(UNSAFE, {})
    found = facts.get(UNSAFE, {}) if report.get("status") == "run" else {}
    told = before.model_copy(
        update={"score": found.get("score"), "band": found.get("band"), "at": at}
    )
    if before.verdict in BY_A_PERSON:
        return told.model_copy(update={"at": before.at})
    verdict, reason = Verdict.REVIEW, None
    match told.band:
        case "ok":
            verdict = Verdict.PASSED
        case "review":
            reason = "detection doubts it"
        case "block":
            reason = "detection refuses it"
            verdict = Verdict.BLOCKED if before.gate is Gate.BLOCK else Verdict.REVIEW
        case _:
            reason = f"nothing looked: {report.get('reason') or 'no unsafe detector'}"
    return told.model_copy(update={"verdict": verdict, "reason": reason})


def decided(
    before: Moderation, *, approve: bool, by: str, reason: str | None, at: datetime
) -> Moderation:
    """Return the verdict of a person."""
    verdict = Verdict.APPROVED if approve else Verdict.REJECTED
    return before.model_copy(update={"verdict": verdict, "by": by, "reason": reason, "at": at})
