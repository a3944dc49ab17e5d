"""When a consumer counts as dead: a pure decision."""

import pytest

from photo_pipeline.broker.inspect import QueueCount
from photo_pipeline.broker.watchdog import LOOKS, Look, Vitals, fault


def _look(
    *,
    consumers: int = 1,
    ready: int = 0,
    arrived: int = 0,
    free: bool = True,
    answered: bool = True,
) -> Look:
    own = Vitals(queue="q", arrived=arrived, in_work=0, free=free)
    return Look(own, QueueCount(ready=ready, consumers=consumers) if answered else None)


DEAD = {
    "cancelled": _look(consumers=0),
    "starving": _look(ready=3),
    "mute": _look(answered=False),
}


@pytest.mark.parametrize("kind", DEAD)
def test_what_every_look_shows_is_a_fault(kind: str) -> None:
    assert fault([DEAD[kind]] * LOOKS)


@pytest.mark.parametrize("kind", DEAD)
def test_what_a_single_look_contradicts_is_none(kind: str) -> None:
    assert fault([DEAD[kind]] * (LOOKS - 1)) is None
    for n in range(LOOKS):
        looks = [DEAD[kind]] * LOOKS
        looks[n] = _look()
        assert fault(looks) is None


@pytest.mark.parametrize(
    "looks",
    [
        [_look()] * LOOKS,
        [_look(ready=9, free=False)] * LOOKS,  # all hands full
        [_look(ready=9, arrived=n) for n in range(LOOKS)],  # a queue that is worked on
        [_look(ready=9, arrived=0 if n == 0 else 1) for n in range(LOOKS)],
    ],
    ids=["idle", "full", "busy", "one arrived"],
)
def test_a_living_consumer_has_no_fault(looks: list[Look]) -> None:
    assert fault(looks) is None
