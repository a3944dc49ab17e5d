"""One suite over the fake and the real records of keys, so that the fake cannot lie."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from motor.motor_asyncio import AsyncIOMotorCollection

from photo_pipeline.errors import StoreUnavailableError
from photo_pipeline.settings import Settings
from photo_pipeline.storage.idempotency import (
    LEASE,
    REMEMBERED,
    IdempotencyKeys,
    MongoIdempotencyKeys,
    Reservation,
)
from photo_pipeline.storage.mongo import Document, open_database
from support.fakes import FakeIdempotencyKeys

ODD_KEY = '$ "odd\\ key.with.dots'


@dataclass
class Store:
    """The records, and a way to let the time of a lease pass."""

    keys: IdempotencyKeys
    pass_lease: Callable[[], Awaitable[None]]

    async def reserve(self, holder: str, photo_id: str = "p", key: str = "k") -> Reservation:
        return await self.keys.reserve(key, holder=holder, photo_id=photo_id)


@pytest.fixture(params=["fake", "mongo"])
async def store(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Store]:
    if request.param == "fake":
        fake = FakeIdempotencyKeys()

        async def wait() -> None:
            fake.passed += LEASE

        yield Store(fake, wait)
        return
    async with open_database(settings.store.mongo_url) as database:
        keys = MongoIdempotencyKeys(database)
        await keys.ensure_indexes()
        collection: AsyncIOMotorCollection[Document] = database["idempotency_keys"]

        async def put_back() -> None:
            earlier = {"$subtract": ["$leased_until", LEASE.total_seconds() * 1000]}
            await collection.update_many({}, [{"$set": {"leased_until": earlier}}])

        yield Store(keys, put_back)


@pytest.mark.parametrize("key", ["k", ODD_KEY, "x" * 255])
async def test_the_first_has_the_key_and_the_others_learn_its_photo(store: Store, key: str) -> None:
    first = await store.reserve("a", "one", key)
    assert first == Reservation(photo_id="one", fingerprint=None, held=True)
    second = await store.reserve("b", "two", key)
    assert second == Reservation(photo_id="one", fingerprint=None, held=False)


async def test_of_many_at_once_one_has_the_key(store: Store) -> None:
    found = await asyncio.gather(*(store.reserve(f"{n}", f"{n}") for n in range(20)))
    assert len({each.photo_id for each in found}) == 1
    assert [each.held for each in found].count(True) == 1


async def test_a_lease_that_is_over_is_taken_with_its_photo(store: Store) -> None:
    await store.reserve("a", "one")
    assert await store.keys.seal("k", holder="a", fingerprint="f") == "f"
    await store.pass_lease()
    taken = await store.reserve("b", "two")
    assert taken == Reservation(photo_id="one", fingerprint="f", held=True)
    # Whoever lost it can do nothing with it any more.
    assert await store.keys.seal("k", holder="a", fingerprint="f") is None
    await store.keys.release("k", holder="a")
    await store.keys.renew("k", holder="a")
    assert not (await store.reserve("c")).held
    await store.pass_lease()
    assert (await store.reserve("c")).held


async def test_a_lease_that_is_over_is_still_its_holders_unless_taken(store: Store) -> None:
    await store.reserve("a")
    await store.pass_lease()
    assert await store.keys.seal("k", holder="a", fingerprint="f") == "f"
    assert not (await store.reserve("b")).held


async def test_a_renewed_lease_is_not_over(store: Store) -> None:
    await store.reserve("a")
    await store.pass_lease()
    await store.keys.renew("k", holder="a")
    assert not (await store.reserve("b")).held


async def test_a_released_key_is_free_and_keeps_what_was_sealed(store: Store) -> None:
    await store.reserve("a", "one")
    await store.keys.release("k", holder="a")
    again = await store.reserve("b", "two")
    assert again == Reservation(photo_id="one", fingerprint=None, held=True)
    assert await store.keys.seal("k", holder="b", fingerprint="f") == "f"
    await store.keys.release("k", holder="b")
    last = await store.reserve("c", "three")
    assert last == Reservation(photo_id="one", fingerprint="f", held=True)
    assert await store.keys.seal("k", holder="c", fingerprint="g") == "f"


async def test_what_is_not_there_is_nobodys(store: Store) -> None:
    assert await store.keys.seal("k", holder="a", fingerprint="f") is None
    await store.keys.renew("k", holder="a")
    await store.keys.release("k", holder="a")
    assert (await store.reserve("b")).held


async def test_keys_are_forgotten_by_the_server(settings: Settings) -> None:
    async with open_database(settings.store.mongo_url) as database:
        keys = MongoIdempotencyKeys(database)
        await keys.ensure_indexes()
        await keys.ensure_indexes()
        await keys.reserve("k", holder="a", photo_id="p")
        indexes = await database["idempotency_keys"].index_information()
        document = await database["idempotency_keys"].find_one({"_id": "k"})
    assert indexes["created_at_1"]["expireAfterSeconds"] == REMEMBERED.total_seconds()
    assert document is not None
    assert document["leased_until"] - document["created_at"] == LEASE


async def test_a_server_that_is_away_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photo_pipeline.storage.mongo.TIMEOUT_MS", 200)
    async with open_database("mongodb://127.0.0.1:1/none") as database:
        keys = MongoIdempotencyKeys(database)
        for call in (
            keys.reserve("k", holder="a", photo_id="p"),
            keys.seal("k", holder="a", fingerprint="f"),
            keys.renew("k", holder="a"),
            keys.release("k", holder="a"),
            keys.ensure_indexes(),
        ):
            with pytest.raises(StoreUnavailableError):
                await call
