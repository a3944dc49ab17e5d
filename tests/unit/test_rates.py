from datetime import UTC, datetime

from photo_pipeline.api.rates import WINDOW_S, Rates
from photo_pipeline.domain.messages import StatusEvent
from photo_pipeline.domain.status import EventType


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _event(type_: EventType, stage: str | None = "resize") -> StatusEvent:
    return StatusEvent(
        type=type_, photo_id="p", revision=1, at=datetime(2025, 1, 1, tzinfo=UTC), stage=stage
    )


def test_a_rate_is_what_was_done_in_the_last_minute() -> None:
    clock = Clock()
    rates = Rates(clock)
    clock.now += WINDOW_S
    for _ in range(30):
        rates.note(_event(EventType.STAGE_DONE))
    assert rates.per_second("resize") == 0.5
    assert rates.per_second("detect") == 0
    clock.now += WINDOW_S
    rates.note(_event(EventType.STAGE_DONE))
    assert rates.per_second("resize") == round(31 / WINDOW_S, 3)
    clock.now += 0.1
    assert rates.per_second("resize") == round(1 / WINDOW_S, 3)
    clock.now += WINDOW_S
    assert rates.per_second("resize") == 0


def test_a_young_process_counts_the_time_that_it_has_been_told() -> None:
    clock = Clock()
    rates = Rates(clock)
    rates.note(_event(EventType.STAGE_DONE))
    assert rates.per_second("resize") == 1  # less than a second is no time to tell a rate of
    clock.now += 10
    assert rates.per_second("resize") == 0.1


def test_only_a_stage_that_is_done_counts() -> None:
    rates = Rates(Clock())
    for type_ in EventType:
        if type_ is not EventType.STAGE_DONE:
            rates.note(_event(type_))
    rates.note(_event(EventType.STAGE_DONE, stage=None))
    assert rates.per_second("resize") == 0
