"""Reconcile pays what an upload still owes."""

import asyncio
from datetime import timedelta
from typing import cast

import pytest

from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.dispatch import dispatch
from photo_pipeline.domain.messages import WorkMessage, first_message
from photo_pipeline.domain.photo import utc_now
from photo_pipeline.errors import BrokerUnavailableError
from photo_pipeline.metrics import Metrics
from photo_pipeline.worker.debts import PATIENCE_S, pay_debts
from support.fakes import Cut, FakeBlobs, FakePhotos, FakePublisher, Scissors
from support.pipeline import make_photo

LONG_AGO = timedelta(seconds=PATIENCE_S + 1)


async def _pay(photos: FakePhotos, publisher: FakePublisher, blobs: FakeBlobs | None = None) -> int:
    return await pay_debts(
        photos, blobs or FakeBlobs(), cast("Publisher", publisher), Metrics(), asyncio.Event()
    )


async def test_an_old_debt_is_paid_once_and_a_young_one_is_left_to_the_upload() -> None:
    photos, publisher = FakePhotos(), FakePublisher()
    old, young = make_photo(created_at=utc_now() - LONG_AGO), make_photo()
    await photos.insert(old)
    await photos.insert(young)
    assert await _pay(photos, publisher) == 1
    assert await _pay(photos, publisher) == 0
    (body,) = publisher.queues["first"]
    assert WorkMessage.decode(body) == first_message(old)


async def test_a_debt_stays_while_the_broker_is_away() -> None:
    photos, publisher = FakePhotos(), FakePublisher()
    await photos.insert(make_photo(created_at=utc_now() - LONG_AGO))

    async def away(*_: object, **__: object) -> None:
        raise BrokerUnavailableError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publisher, "work", away)
        assert await _pay(photos, publisher) == 0
        patch.setattr(publisher, "up", away)
        with pytest.raises(BrokerUnavailableError):
            await _pay(photos, publisher)
    assert await _pay(photos, publisher) == 1


@pytest.mark.parametrize(("at", "after"), [(1, False), (1, True), (2, False), (2, True)])
async def test_a_cut_in_a_dispatch_loses_nothing(at: int, after: bool) -> None:
    scissors = Scissors()
    photos, publisher = FakePhotos(scissors), FakePublisher(scissors)
    photo = make_photo(created_at=utc_now() - LONG_AGO)
    await photos.insert(photo)
    photos._scissors = publisher.scissors = Scissors(at, after=after)
    with pytest.raises(Cut):
        await dispatch(photo, photos, cast("Publisher", publisher))
    photos._scissors = publisher.scissors = Scissors()
    await _pay(photos, publisher)
    assert {WorkMessage.decode(b).photo_id for b in publisher.queues["first"]} == {photo.id}
    assert [p async for p in photos.owed(before=utc_now())] == []
