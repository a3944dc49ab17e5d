"""Filing dead letters, and trying photos out, over fakes."""

from datetime import timedelta
from typing import Any, cast

import pytest

from photo_pipeline.broker.deliveries import Delivery, Verdict
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain.casefile import CaseFile
from photo_pipeline.domain.messages import TrialAnswer, TrialMessage, first_message
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import StoreUnavailableError, UnreadableImageError
from photo_pipeline.metrics import Metrics
from photo_pipeline.worker.filing import Filing
from photo_pipeline.worker.trial import Trials
from support.casefiles import FakeDeadLetters, died
from support.fakes import DeadLetter
from support.pipeline import TRACE, World, make_photo


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store() -> FakeDeadLetters:
    return FakeDeadLetters()


@pytest.fixture
def filing(world: World, store: FakeDeadLetters) -> Filing:
    return Filing(dead_letters=store, photos=world.photos, metrics=Metrics())


def _copy(body: bytes, headers: dict[str, Any] | None = None, **more: Any) -> Delivery:
    return Delivery(
        body=body,
        headers=died() if headers is None else headers,
        message_id="m",
        correlation_id=None,
        redelivered=False,
        routing_key="first",
        **more,
    )


def _letter(letter: DeadLetter) -> Delivery:
    return Delivery(
        body=letter.body,
        headers=dict(letter.headers),
        message_id=letter.message_id,
        correlation_id=None,
        redelivered=False,
        routing_key="first",
    )


async def _failed(world: World, *errors: Exception) -> list[Photo]:
    photos = [make_photo() for _ in errors]
    for photo, error in zip(photos, errors, strict=True):
        world.failures["first"].append(error)
        await world.accept(photo)
        await world.run()
    return photos


async def test_what_a_worker_buries_becomes_a_case_with_the_facts(
    world: World, store: FakeDeadLetters, filing: Filing
) -> None:
    errors = [UnreadableImageError(f"photo {n}") for n in range(3)]
    photos = await _failed(world, *errors)
    for letter in world.publisher.dead["first"]:
        assert await filing(_letter(letter)) is Verdict.ACK
    cases = {case.photo_id: case for case in store.cases.values()}
    assert set(cases) == {photo.id for photo in photos}
    assert len({case.fingerprint for case in cases.values()}) == 1
    for case in cases.values():
        assert (case.worker, case.attempts, case.error.code) == ("worker-1", 1, "unreadable_image")
        assert case.photo is not None
        assert case.photo.status is PhotoStatus.FAILED


async def test_a_copy_that_comes_twice_changes_nothing(
    world: World, store: FakeDeadLetters, filing: Filing
) -> None:
    delivery = _copy(first_message(make_photo()).encode())
    assert await filing(delivery) is Verdict.ACK
    before: list[CaseFile] = [*store.cases.values()]
    assert await filing(delivery) is Verdict.ACK
    assert [*store.cases.values()] == before


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"photo_id": "nobody"}'])
async def test_whatever_it_is_it_is_filed(
    store: FakeDeadLetters, filing: Filing, body: bytes
) -> None:
    assert await filing(_copy(body, {})) is Verdict.ACK
    (case,) = store.cases.values()
    assert (case.message.body, case.photo) == (body, None)


async def test_an_outage_leaves_the_copy_in_its_queue_and_a_fault_does_not_block_it(
    world: World, store: FakeDeadLetters, filing: Filing, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, verdict in (
        (StoreUnavailableError(), Verdict.AGAIN),
        (ValueError("of our own"), Verdict.ACK),
    ):

        async def fail(_: CaseFile, error: Exception = error) -> bool:
            raise error

        monkeypatch.setattr(store, "file", fail)
        assert await filing(_copy(b"x")) is verdict


class Replies:
    """Takes answers to trials."""

    def __init__(self) -> None:
        self.answers: list[TrialAnswer] = []

    async def reply(self, answer: TrialAnswer, *, to: str, traceparent: str) -> None:
        assert to == "asker"
        self.answers.append(answer)


def _trial(photo: Photo, seconds: float = 60) -> TrialMessage:
    return TrialMessage(
        photo_id=photo.id, stage="first", answer_before=utc_now() + timedelta(seconds=seconds)
    )


def _asked(message: TrialMessage, *, redelivered: bool = False) -> Delivery:
    return Delivery(
        body=message.encode(),
        headers={"traceparent": TRACE},
        message_id="m",
        correlation_id=None,
        redelivered=redelivered,
        reply_to="asker",
    )


def _trials(world: World, replies: Replies) -> Trials:
    return Trials(
        consumer=world.consumer("first"),
        photos=world.photos,
        publisher=cast("Publisher", replies),
    )


async def test_a_trial_tells_how_it_went_and_changes_nothing(world: World) -> None:
    replies = Replies()
    trials = _trials(world, replies)
    (photo,) = await _failed(world, UnreadableImageError("bad"))
    before, blobs = await world.photos.get(photo.id), dict(world.blobs.data)
    world.failures["first"].append(UnreadableImageError("still bad"))
    for _ in range(2):
        assert await trials(_asked(_trial(photo))) is Verdict.ACK
    failed, well = replies.answers
    assert failed.error is not None
    assert (failed.error.code, failed.error.type) == ("unreadable_image", "UnreadableImageError")
    assert (well.error, well.worker, well.stage) == (None, "worker-1", "first")
    assert await world.photos.get(photo.id) == before
    assert world.blobs.data == blobs
    assert len(world.publisher.dead["first"]) == 1


async def test_the_fingerprint_of_a_trial_is_that_of_the_case(
    world: World, store: FakeDeadLetters, filing: Filing
) -> None:
    replies = Replies()
    photo = make_photo()
    await world.accept(photo)
    world.erase(photo.id)
    await world.run()
    await filing(_letter(world.publisher.dead["first"][0]))
    (case,) = store.cases.values()
    assert case.error.code == "missing_blob"
    await _trials(world, replies)(_asked(_trial(photo)))
    (answer,) = replies.answers
    assert answer.error is not None
    assert answer.error.fingerprint == case.fingerprint


async def test_a_trial_of_an_unknown_photo_says_so(world: World) -> None:
    replies = Replies()
    await _trials(world, replies)(_asked(_trial(make_photo())))
    assert replies.answers[0].error is not None
    assert replies.answers[0].error.code == "unknown_photo"


async def test_a_trial_that_is_late_or_took_a_worker_down_is_dropped(world: World) -> None:
    replies = Replies()
    trials = _trials(world, replies)
    photo = make_photo()
    await world.accept(photo)
    assert await trials(_asked(_trial(photo, -1))) is Verdict.ACK
    assert await trials(_asked(_trial(photo), redelivered=True)) is Verdict.ACK
    assert (replies.answers, world.executors["first"].runs) == ([], 0)


async def test_everything_else_goes_its_usual_way(world: World) -> None:
    replies = Replies()
    trials = _trials(world, replies)
    photo = make_photo()
    await world.accept(photo)
    body = world.publisher.queues["first"].popleft()
    for reply_to in (None, "somebody"):  # a reply_to alone does not make work a trial
        delivery = _copy(body, {"traceparent": TRACE}, reply_to=reply_to)
        assert await trials(delivery) is Verdict.ACK
    assert world.executors["first"].runs == 1
    assert replies.answers == []
