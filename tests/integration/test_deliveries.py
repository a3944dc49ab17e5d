"""One suite over the fake and the real ledger of deliveries, so that the fake cannot lie."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from photo_pipeline.errors import StoreUnavailableError
from photo_pipeline.settings import Settings
from photo_pipeline.storage.deliveries import (
    REMEMBERED,
    Deliveries,
    MongoDeliveries,
    delivery_key,
)
from photo_pipeline.storage.mongo import open_database
from support.fakes import FakeDeliveries


@pytest.fixture(params=["fake", "mongo"])
async def deliveries(
    request: pytest.FixtureRequest, settings: Settings
) -> AsyncIterator[Deliveries]:
    if request.param == "fake":
        yield FakeDeliveries()
        return
    async with open_database(settings.store.mongo_url) as database:
        ledger = MongoDeliveries(database)
        await ledger.ensure_indexes()
        yield ledger


async def test_what_was_noted_is_made_and_nothing_else(deliveries: Deliveries) -> None:
    assert await deliveries.made(["a", "b"]) == set()
    await deliveries.note("a")
    assert await deliveries.made(["a", "b"]) == {"a"}
    assert await deliveries.made(["b"]) == set()
    assert await deliveries.made([]) == set()


async def test_noting_again_is_harmless(deliveries: Deliveries) -> None:
    await asyncio.gather(*(deliveries.note("a") for _ in range(10)))
    assert await deliveries.made(["a"]) == {"a"}


def test_a_key_is_of_one_subscriber_one_event_and_one_target_which_it_does_not_tell() -> None:
    url = "https://hooks.example/?token=secret"
    keys = {
        delivery_key(subscriber, event_id, target)
        for subscriber in ("notify", "other")
        for event_id in ("p:1", "p:2")
        for target in (url, f"{url}2")
    }
    assert len(keys) == 8
    assert not [key for key in keys if "secret" in key]
    assert delivery_key("notify", "p:1", url) in keys


async def test_entries_are_forgotten_by_the_server(settings: Settings) -> None:
    async with open_database(settings.store.mongo_url) as database:
        ledger = MongoDeliveries(database)
        await ledger.ensure_indexes()
        await ledger.ensure_indexes()
        indexes = await database["deliveries"].index_information()
        await ledger.note("a")
        document = await database["deliveries"].find_one({"_id": "a"})
    assert indexes["at_1"]["expireAfterSeconds"] == REMEMBERED.total_seconds()
    assert document is not None
    assert document["at"].tzinfo is not None


async def test_a_server_that_is_away_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photo_pipeline.storage.mongo.TIMEOUT_MS", 200)
    async with open_database("mongodb://127.0.0.1:1/none") as database:
        ledger = MongoDeliveries(database)
        with pytest.raises(StoreUnavailableError):
            await ledger.made(["a"])
        with pytest.raises(StoreUnavailableError):
            await ledger.note("a")
        with pytest.raises(StoreUnavailableError):
            await ledger.ensure_indexes()
