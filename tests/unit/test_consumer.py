"""The generic consumer's decisions, over fakes."""

import asyncio
import json

import pytest

from photo_pipeline.domain.messages import WorkMessage, first_message
from photo_pipeline.domain.stage import Output, Picture
from photo_pipeline.domain.status import EventType, PhotoStatus, StageStatus
from photo_pipeline.errors import (
    BlobUnavailableError,
    BrokerUnavailableError,
    DecoderCrashedError,
    PhotoPipelineError,
    StageTimeoutError,
    StoreUnavailableError,
    UnreadableImageError,
    UnroutableError,
)
from photo_pipeline.worker.consumer import MAX_STARTS
from support.fakes import Cut, Scissors
from support.pipeline import DELAYS_S, World, make_photo


@pytest.fixture
def world() -> World:
    return World()


async def test_a_photo_goes_through_every_stage(world: World) -> None:
    photo = make_photo()
    await world.accept(photo)
    await world.run()
    done = await world.photos.get(photo.id)
    assert done.status is PhotoStatus.DONE
    assert [e.type for e in done.timeline] == [
        EventType.PHOTO_QUEUED,
        *([EventType.STAGE_STARTED, EventType.STAGE_DONE] * 3),
        EventType.PHOTO_DONE,
    ]
    assert done.revision == len(done.timeline)
    assert [h.revision for h in world.publisher.hints] == list(range(2, done.revision + 1))
    (outcome,) = world.publisher.outcomes
    assert outcome.event_id == f"{photo.id}:{done.revision}"
    assert outcome.photo.status is PhotoStatus.DONE
    assert done.finished_at is not None


async def test_every_message_delivered_twice_gives_the_same_bytes_and_one_outcome(
    world: World,
) -> None:
    photo = make_photo()
    await world.accept(photo)
    for queue in (world.publisher.queues["first"],):
        queue.append(queue[0])
    await world.run()
    assert len({e.event_id for e in world.publisher.outcomes}) == 1
    assert world.executors["first"].runs == 1
    assert len(world.blobs.data) == 4  # the original and three renditions


async def test_a_retryable_error_is_retried_with_growing_delays_and_then_buried(
    world: World,
) -> None:
    world.failures["first"].extend(BlobUnavailableError("EIO") for _ in range(10))
    photo = make_photo()
    await world.accept(photo)
    await world.run()
    failed = await world.photos.get(photo.id)
    assert tuple(world.publisher.delays_s) == DELAYS_S
    assert failed.status is PhotoStatus.FAILED
    assert failed.stages["first"].attempts == len(DELAYS_S) + 1
    (letter,) = world.publisher.dead["first"]
    assert letter.headers["x-error-code"] == "storage_unavailable"
    assert letter.headers["x-attempt"] == len(DELAYS_S) + 1
    assert WorkMessage.decode(letter.body).photo_id == photo.id


async def test_while_retrying_the_status_says_so_and_why(world: World) -> None:
    world.failures["first"].append(BlobUnavailableError("EIO"))
    photo = make_photo()
    await world.accept(photo)
    await world.deliver("first", world.publisher.queues["first"].popleft())
    standing = await world.photos.get(photo.id)
    slot = standing.stages["first"]
    assert standing.status is PhotoStatus.PROCESSING
    assert slot.status is StageStatus.RETRYING
    assert slot.error is not None
    assert (slot.error.code, slot.error.retryable) == ("storage_unavailable", True)


async def test_a_permanent_error_is_buried_at_once(world: World) -> None:
    world.failures["second"].append(UnreadableImageError("truncated"))
    photo = make_photo()
    await world.accept(photo)
    await world.run()
    failed = await world.photos.get(photo.id)
    assert world.publisher.delays_s == []
    assert [e.type for e in failed.timeline][-2:] == [
        EventType.STAGE_FAILED,
        EventType.PHOTO_FAILED,
    ]
    assert failed.stages["third"].status is StageStatus.PENDING
    (outcome,) = world.publisher.outcomes
    assert outcome.type is EventType.PHOTO_FAILED


@pytest.mark.parametrize("error", [DecoderCrashedError, StageTimeoutError])
async def test_a_photo_that_kills_its_child_twice_is_failed_and_no_other(
    world: World, error: type[PhotoPipelineError]
) -> None:
    world.failures["first"].extend(error() for _ in range(2))
    photo, other = make_photo(), make_photo()
    await world.accept(photo)
    await world.run()
    await world.accept(other)
    await world.run()
    failed = await world.photos.get(photo.id)
    assert failed.stages["first"].attempts == 2
    assert failed.error is not None
    assert failed.error.code == error.code
    done = await world.photos.get(other.id)
    assert (done.status, done.stages["first"].attempts) == (PhotoStatus.DONE, 1)


async def test_an_attempt_is_recorded_before_the_decode(world: World) -> None:
    """So that whatever dies over a photo has a photo that it died over."""
    photo = make_photo()
    await world.accept(photo)

    async def die(*_: object) -> Output:
        slot = (await world.photos.get(photo.id)).stages["first"]
        assert (slot.status, slot.attempts, slot.worker) == (StageStatus.RUNNING, 1, "worker-1")
        raise Cut("the whole worker dies")

    world.executors["first"].run = die  # type: ignore[method-assign, assignment]
    assert not await world.deliver("first", world.publisher.queues["first"][0])
    assert world.cuts == 1
    assert (await world.photos.get(photo.id)).stages["first"].attempts == 1


@pytest.mark.parametrize(
    "error", [UnreadableImageError("late"), BlobUnavailableError("late")], ids=["fail", "retry"]
)
async def test_an_attempt_that_fails_after_another_has_succeeded_changes_nothing(
    world: World, error: Exception
) -> None:
    """Delivered twice, in work twice: one does it, then the other one fails."""
    photo = make_photo()
    await world.accept(photo)
    body = world.publisher.queues["first"].popleft()
    inside, go_on = asyncio.Event(), asyncio.Event()
    run = world.executors["first"].run

    async def slow_then_fail(*_: object) -> Output:
        inside.set()
        await go_on.wait()
        raise error

    world.executors["first"].run = slow_then_fail  # type: ignore[method-assign, assignment]
    slow = asyncio.create_task(world.deliver("first", body))
    await inside.wait()
    world.executors["first"].run = run  # type: ignore[method-assign]
    assert await world.deliver("first", body)
    go_on.set()
    assert not await slow  # its message comes again, and only forwards
    assert await world.deliver("first", body)
    await world.run()
    done = await world.photos.get(photo.id)
    assert done.status is PhotoStatus.DONE
    assert world.publisher.dead == {}
    assert {e.type for e in world.publisher.outcomes} == {EventType.PHOTO_DONE}
    assert len({e.event_id for e in world.publisher.outcomes}) == 1


@pytest.mark.parametrize("what", ["work", "outcome"])
async def test_a_photo_that_could_not_be_forwarded_is_forwarded_later(
    world: World, what: str
) -> None:
    """The stage is recorded as done, then the broker takes nothing: not a failure of the stage."""
    photo = make_photo()
    await world.accept(photo)
    publish = getattr(world.publisher, what)

    async def down(*_: object, **__: object) -> None:
        setattr(world.publisher, what, publish)
        raise BrokerUnavailableError("an alarm")

    setattr(world.publisher, what, down)
    await world.run()
    done = await world.photos.get(photo.id)
    assert done.status is PhotoStatus.DONE
    assert [s.attempts for s in done.stages.values()] == [1, 1, 1]
    assert len(world.publisher.outcomes) == 1
    assert world.publisher.delays_s == []


async def test_two_deliveries_at_once_give_one_outcome_and_the_same_bytes(world: World) -> None:
    photo = make_photo()
    await world.accept(photo)
    while waiting := [(s, q.popleft()) for s, q in world.publisher.queues.items() if q]:
        for stage, body in waiting:
            assert all(await asyncio.gather(*(world.deliver(stage, body) for _ in range(3))))
        for queue in world.publisher.queues.values():
            while len(queue) > 1:
                queue.pop()
    done = await world.photos.get(photo.id)
    assert done.status is PhotoStatus.DONE
    assert len({e.event_id for e in world.publisher.outcomes}) == 1
    assert len(world.blobs.data) == 4


async def test_names_that_a_stage_does_not_announce_are_refused(world: World) -> None:
    """The sandbox has touched foreign bytes: its word must not become a path."""
    photo = make_photo()
    await world.accept(photo)
    picture = Picture(name="../../escaped", data=b"x", width=1, height=1, format="jpeg")

    async def lie(*_: object) -> Output:
        return Output(pictures=(picture,))

    world.executors["first"].run = lie  # type: ignore[method-assign, assignment]
    await world.run()
    assert (await world.photos.get(photo.id)).status is PhotoStatus.FAILED
    assert list(world.blobs.data) == [photo.original]


async def test_a_photo_whose_document_nobody_foresaw_is_kept_and_told(world: World) -> None:
    photo = make_photo()
    await world.accept(photo)
    world.photos._documents[photo.id]["width"] = "wide"
    assert await world.deliver("first", world.publisher.queues["first"].popleft())
    (letter,) = world.publisher.dead["first"]
    assert letter.headers["x-error-code"] == "unexpected_error"


async def test_a_huge_malformed_message_is_buried_with_a_short_reason(world: World) -> None:
    body = json.dumps({"v": 1, "photo_id": "x" * 300, "remaining": [1] * 5000}).encode()
    assert await world.deliver("first", body)
    (letter,) = world.publisher.dead["first"]
    assert len(json.dumps(dict(letter.headers))) < 10_000


async def test_a_database_outage_costs_no_attempt(world: World) -> None:
    world.failures["first"].extend(StoreUnavailableError() for _ in range(8))
    photo = make_photo()
    await world.accept(photo)
    await world.run()
    done = await world.photos.get(photo.id)
    assert done.status is PhotoStatus.DONE
    assert {e.attempt for e in done.timeline if e.stage == "first"} == {1}


async def test_a_slow_database_is_no_crash_loop(world: World) -> None:
    """It applies the start but answers too late: the message is postponed again and again."""
    world.failures["first"].extend(StoreUnavailableError() for _ in range(MAX_STARTS * 2))
    photo = make_photo()
    await world.accept(photo)
    await world.run()
    assert (await world.photos.get(photo.id)).status is PhotoStatus.DONE


@pytest.mark.parametrize("error", [UnroutableError("no queue"), ValueError("no JSON")])
async def test_a_photo_that_can_never_be_forwarded_fails_and_says_so(
    world: World, error: Exception
) -> None:
    photo = make_photo()
    await world.accept(photo)

    async def refuse(*_: object, **__: object) -> None:
        raise error

    world.publisher.work = refuse  # type: ignore[method-assign]
    await world.run()
    failed = await world.photos.get(photo.id)
    assert failed.status is PhotoStatus.FAILED
    assert failed.error is not None
    assert failed.error.code == "forward_failed"
    assert len(world.publisher.dead["first"]) == 1
    assert [e.type for e in world.publisher.outcomes] == [EventType.PHOTO_FAILED]


async def test_a_crash_loop_ends_before_the_delivery_limit(world: World) -> None:
    photo = make_photo()
    await world.accept(photo)
    world.publisher.queues["first"].clear()
    body = first_message(photo).encode()
    for _ in range(MAX_STARTS):
        world.scissors = world.photos._scissors = Scissors(1, after=True)
        assert not await world.deliver("first", body, redelivered=True)
    world.scissors = world.photos._scissors = Scissors()
    assert await world.deliver("first", body, redelivered=True)
    failed = await world.photos.get(photo.id)
    assert failed.error is not None
    assert failed.error.code == "crash_loop"


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"[]", b'{"v":1}', b'{"v":2,"photo_id":"x"}'],
    ids=["empty", "binary", "array", "fields missing", "newer version"],
)
async def test_an_unparsable_message_is_buried_with_its_reason(world: World, body: bytes) -> None:
    assert await world.deliver("first", body)
    (letter,) = world.publisher.dead["first"]
    assert letter.body == body
    assert letter.headers["x-error-code"] == "malformed_message"
    assert letter.headers["x-error-message"]


async def test_a_message_in_the_wrong_queue_is_buried(world: World) -> None:
    body = first_message(make_photo(["second"])).encode()
    assert await world.deliver("first", body)
    assert "second" in world.publisher.dead["first"][0].headers["x-error-message"]


async def test_a_message_about_an_unknown_photo_is_buried(world: World) -> None:
    assert await world.deliver("first", first_message(make_photo()).encode())
    assert world.publisher.dead["first"][0].headers["x-error-code"] == "unknown_photo"
    assert world.publisher.outcomes == []


async def test_a_message_of_an_earlier_run_is_dropped(world: World) -> None:
    photo = make_photo(run=2)
    await world.accept(photo)
    world.publisher.queues.clear()
    stale = first_message(photo).model_copy(update={"run": 1})
    assert await world.deliver("first", stale.encode())
    assert (await world.photos.get(photo.id)).status is PhotoStatus.QUEUED


async def test_the_message_is_returned_when_even_failing_fails(world: World) -> None:
    world.failures["first"].append(UnreadableImageError())
    photo = make_photo()
    await world.accept(photo)

    async def down(*_: object, **__: object) -> None:
        raise BlobUnavailableError("everything is down")

    world.publisher.bury = down  # type: ignore[method-assign]
    assert not await world.deliver("first", world.publisher.queues["first"][0])
