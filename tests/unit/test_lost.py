"""Lost messages are found and sent again; photos that merely wait are left alone."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from photo_pipeline.broker.inspect import QueueCount
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain import changes
from photo_pipeline.domain.messages import outcome_of_run
from photo_pipeline.domain.photo import Photo, Position, StageSlot, utc_now
from photo_pipeline.domain.status import PhotoStatus, StageStatus
from photo_pipeline.errors import BlobUnavailableError, BrokerUnavailableError, UnreadableImageError
from photo_pipeline.storage.photos import Selection
from photo_pipeline.worker.debts import pay_debts
from photo_pipeline.worker.lost import FEW, MARGIN_S, Search, horizon, put_back
from support.fakes import FakeBlobs, Scissors
from support.pipeline import STAGES, World, make_photo

QUEUES = {name: name for name in STAGES}
REAL = Search(queues=QUEUES, retry_s=600, stage_s=60)
AT_ONCE = Search(queues=QUEUES, retry_s=0, stage_s=0, margin_s=-1)
"""Finds what has got to where it is this very moment."""

LONG_AGO = timedelta(hours=3)


class Broker:
    """Counts the queues of a World; *pretended* are counts to give first."""

    def __init__(self, world: World, *pretended: int) -> None:
        self.world = world
        self.pretended = list(pretended)

    async def count(self, queues: Iterable[str]) -> Mapping[str, QueueCount]:
        return {
            name: QueueCount(
                ready=self.pretended.pop(0)
                if self.pretended
                else len(self.world.publisher.queues[name]),
                consumers=1,
            )
            for name in queues
        }

    async def put_back(self, search: Search) -> int:
        return await put_back(
            search,
            self.world.photos,
            cast("Publisher", self.world.publisher),
            self.count,
            self.world.metrics,
            asyncio.Event(),
        )


async def _waiting(world: World, *, since: datetime, **different: Any) -> Photo:
    """Accept a photo that waits for the first stage, its message sent *since* then."""
    photo = make_photo(
        created_at=since,
        updated_at=since,
        position=Position(stage="first", status=StageStatus.PENDING, since=since),
        **different,
    )
    stages = {**photo.stages, "first": StageSlot(queued_at=since)}
    await world.accept(photo.model_copy(update={"stages": stages}))
    await world.photos.paid(photo.id, 1)
    return photo


def test_an_empty_queue_is_worked_off_until_now_and_a_full_one_as_far_as_was_begun() -> None:
    now = utc_now()
    older, newer = now - timedelta(minutes=9), now - timedelta(minutes=3)
    assert horizon(now, 0, []) == horizon(now, 0, [older]) == now
    assert horizon(now, 1, [newer, older]) == newer
    assert horizon(now, 1, []) is None


async def test_photos_in_a_deep_queue_are_never_multiplied() -> None:
    world = World()
    for minutes in range(100):
        await _waiting(world, since=utc_now() - LONG_AGO + timedelta(minutes=minutes))
    for _ in range(3):
        assert await Broker(world).put_back(REAL) == 0
    # Two hours on, the oldest are being worked on: still nobody was passed over.
    oldest = (await world.photos.page(_everything(), 200))[-1]
    await world.photos.apply(
        oldest.id, 1, changes.stage_started("first", attempt=1, worker="w", at=utc_now())
    )
    assert await Broker(world).put_back(REAL) == 0
    assert len(world.publisher.queues["first"]) == 100


async def test_a_photo_that_the_queue_has_moved_past_is_put_back_once() -> None:
    world = World()
    lost = [await _waiting(world, since=utc_now() - LONG_AGO) for _ in range(3)]
    world.publisher.queues["first"].clear()  # purged; then others came
    later = [await _waiting(world, since=utc_now() - LONG_AGO / 2) for _ in range(50)]
    assert await Broker(world).put_back(REAL) == 0
    await world.photos.apply(
        later[0].id, 1, changes.stage_started("first", attempt=1, worker="w", at=utc_now())
    )
    assert await Broker(world).put_back(REAL) == len(lost)
    assert await Broker(world).put_back(REAL) == 0
    assert len(world.publisher.queues["first"]) == 50 + len(lost)
    assert world.metrics.registry.get_sample_value(
        "photo_reconciled_total", {"kind": "lost"}
    ) == len(lost)


async def test_a_young_one_may_be_on_its_way() -> None:
    world = World()
    await _waiting(world, since=utc_now() - timedelta(seconds=MARGIN_S / 2))
    world.publisher.queues["first"].clear()
    assert await Broker(world).put_back(REAL) == 0


@pytest.mark.parametrize(
    ("status", "minutes", "found"),
    [
        (StageStatus.PENDING, 1.5, 1),
        (StageStatus.RUNNING, 1.5, 0),  # with a worker, for as long as the stage may take
        (StageStatus.RUNNING, 2.5, 1),
        (StageStatus.RETRYING, 10.5, 0),  # in the retry queue of ten minutes
        (StageStatus.RETRYING, 11.5, 1),
        (StageStatus.FAILED, 1.5, 1),  # its end was never recorded
    ],
)
async def test_a_message_may_be_with_a_worker_or_in_a_retry_queue(
    status: StageStatus, minutes: float, found: int
) -> None:
    world = World()
    since = utc_now() - timedelta(minutes=minutes)
    photo = await _waiting(world, since=since, status=PhotoStatus.PROCESSING)
    world.photos._documents[photo.id]["position"]["status"] = status
    world.publisher.queues["first"].clear()
    assert await Broker(world).put_back(REAL) == found


async def test_a_queue_without_a_leader_counts_as_empty_and_costs_one_message() -> None:
    world = World()
    for _ in range(FEW + 5):
        await _waiting(world, since=utc_now() - LONG_AGO)
    assert await Broker(world, 0).put_back(REAL) == 1
    assert await Broker(world).put_back(REAL) == 0
    await world.run(limit=200)
    assert len({e.event_id for e in world.publisher.outcomes}) == FEW + 5


async def test_several_reconcilers_at_a_time_put_a_photo_back_once() -> None:
    world = World()
    for _ in range(5):
        await _waiting(world, since=utc_now() - LONG_AGO)
    world.publisher.queues["first"].clear()
    found = await asyncio.gather(*(Broker(world).put_back(REAL) for _ in range(4)))
    assert sum(found) == len(world.publisher.queues["first"]) == 5


async def test_what_was_owed_for_long_waits_from_the_moment_it_was_sent() -> None:
    world = World()
    photo = make_photo(created_at=utc_now() - LONG_AGO)
    await world.photos.insert(photo)
    assert await Broker(world).put_back(REAL) == 0, "not sent yet"
    await pay_debts(
        world.photos,
        FakeBlobs(),
        cast("Publisher", world.publisher),
        world.metrics,
        asyncio.Event(),
    )
    world.publisher.queues["first"].clear()
    assert await Broker(world).put_back(REAL) == 0, "it may be with a worker"
    assert await Broker(world).put_back(AT_ONCE) == 1


async def test_a_broker_that_is_away_leaves_a_debt(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    photo = await _waiting(world, since=utc_now() - LONG_AGO)
    world.publisher.queues["first"].clear()

    async def away(*_: object, **__: object) -> None:
        raise BrokerUnavailableError

    with monkeypatch.context() as patch:
        patch.setattr(world.publisher, "work", away)
        with pytest.raises(BrokerUnavailableError):
            await Broker(world).put_back(REAL)
    assert [p.id async for p in world.photos.owed(before=utc_now() + LONG_AGO)] == [photo.id]


CASES: dict[str, list[Exception]] = {
    "well": [],
    "retried": [BlobUnavailableError("EIO")],
    "fatal": [UnreadableImageError("broken")] * 2,
}


@pytest.mark.parametrize("failing", CASES)
async def test_wherever_a_worker_dies_and_the_broker_loses_everything_the_photo_reaches_its_end(
    failing: str,
) -> None:
    effects = await _count_effects(failing)
    assert effects >= 20
    for at in range(1, effects + 1):
        for after in (False, True):
            world, photo = await _world(failing)
            world.use(Scissors(at, after=after))
            await _until_cut(world)
            where = (failing, at, after, world.scissors.names[-1])
            world.use(Scissors())
            for queue in world.publisher.queues.values():
                queue.clear()  # wiped
            before = await world.photos.get(photo.id)
            found = await Broker(world).put_back(AT_ONCE)
            ended = before.status in (PhotoStatus.DONE, PhotoStatus.FAILED)
            assert found == (0 if ended else 1), where
            await world.run()
            end = await world.photos.get(photo.id)
            assert end.status is (PhotoStatus.FAILED if failing == "fatal" else PhotoStatus.DONE), (
                where
            )
            assert await Broker(world).put_back(AT_ONCE) == 0, where
            if not ended:
                told = {event.event_id for event in world.publisher.outcomes}
                outcome = outcome_of_run(end, 1)
                assert outcome is not None
                assert told == {outcome.event_id}, where


async def _world(failing: str) -> tuple[World, Photo]:
    world = World()
    world.failures["second"].extend(CASES[failing])
    photo = make_photo()
    await world.accept(photo)
    await world.photos.paid(photo.id, 1)
    return world, photo


async def _count_effects(failing: str) -> int:
    world, _ = await _world(failing)
    world.use(Scissors())
    await world.run()
    return world.scissors.count


async def _until_cut(world: World) -> None:
    """Deliver until the cut, if it comes: none does behind a transform that fails."""
    while world.cuts == 0 and any(world.publisher.queues.values()):
        name, queue = next((n, q) for n, q in world.publisher.queues.items() if q)
        if await world.deliver(name, queue[0]):
            queue.popleft()


def _everything() -> Selection:
    return Selection(statuses=tuple(PhotoStatus))
