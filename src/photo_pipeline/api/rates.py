"""How fast the stages are, from the hints that this process is told."""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Final

from photo_pipeline.domain.messages import StatusEvent
from photo_pipeline.domain.status import EventType

WINDOW_S: Final = 60.0


class Rates:
    """How many photos each stage has done in the last minute, as this process was told."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._done: defaultdict[str, deque[float]] = defaultdict(deque)

    def note(self, event: StatusEvent) -> None:
        """Take notice of *event*."""
        if event.type is EventType.STAGE_DONE and event.stage is not None:
            self._done[event.stage].append(self._clock())
            self._forget(event.stage)

    def per_second(self, stage: str) -> float:
        """Return the rate of *stage*."""
        self._forget(stage)
        window_s = min(WINDOW_S, max(self._clock() - self._began, 1.0))
        return round(len(self._done[stage]) / window_s, 3)

    def _forget(self, stage: str) -> None:
        times = self._done[stage]
        while times and times[0] < self._clock() - WINDOW_S:
            times.popleft()
