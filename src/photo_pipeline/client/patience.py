"""How long to wait before the next try."""

import random
from typing import Final

from photo_pipeline.pauses import growing_s

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0


def pause_s(tries: int) -> float:
    """Return the pause after so many tries: growing, and spread over many clients."""
    return growing_s(tries, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)


def at_least_s(told_s: float) -> float:
    """Return the pause when the service has told one: not all who were told the same at once."""
    return told_s * random.uniform(1.0, 1.3)  # noqa: S311  # spreads load, keeps no secret
