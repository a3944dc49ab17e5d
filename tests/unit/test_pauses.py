"""Pauses that grow, and waiting for a stop."""

import asyncio

from photo_pipeline.pauses import growing_s, stopped_within


def test_pauses_grow_to_a_limit_and_no_two_are_alike() -> None:
    for tries in range(1, 2000):
        longest = min(2.0, 0.5 * 2 ** min(tries - 1, 50))
        assert longest / 2 <= growing_s(tries, first_s=0.5, longest_s=2.0) <= longest
    assert len({growing_s(5, first_s=0.5, longest_s=2.0) for _ in range(20)}) == 20


async def test_a_stop_ends_the_wait_and_time_does_too() -> None:
    stop = asyncio.Event()
    assert not await stopped_within(stop, 0.01)
    asyncio.get_running_loop().call_later(0.01, stop.set)
    assert await stopped_within(stop, 60)
    assert await stopped_within(stop, 60)
