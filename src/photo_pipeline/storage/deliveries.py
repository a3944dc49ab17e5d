"""The ledger of what has been delivered where, so that nobody is told the same thing twice."""

from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import Final, Protocol

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from photo_pipeline.domain.photo import utc_now
from photo_pipeline.storage.mongo import Database, create_indexes, translated

REMEMBERED: Final = timedelta(days=30)
"""How long a delivery is remembered: an event may wait that long among the dead letters before
somebody replays it. Later than that its receiver may be told again."""


class Deliveries(Protocol):
    """The ledger. Every method may raise StoreUnavailableError."""

    async def ensure_indexes(self) -> None:
        """Create the index that forgets old entries; idempotent."""

    async def made(self, keys: Collection[str]) -> set[str]:
        """Return those of *keys* that have been noted."""

    async def note(self, key: str) -> None:
        """Note durably that the delivery *key* was made; repeating it is harmless."""


def delivery_key(subscriber: str, event_id: str, target: str) -> str:
    """Return the key of one event's delivery to one target, which may hold a secret."""
    return f"{subscriber}:{event_id}:{sha256(target.encode()).hexdigest()}"


class MongoDeliveries:
    """The ledger in MongoDB, collection ``deliveries``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = database["deliveries"]

    async def ensure_indexes(self) -> None:
        forgotten = IndexModel("at", expireAfterSeconds=int(REMEMBERED.total_seconds()))
        await create_indexes(self._database, "deliveries", [forgotten])

    async def made(self, keys: Collection[str]) -> set[str]:
        with translated():
            found = self._collection.find({"_id": {"$in": list(keys)}}, {"_id": 1})
            return {document["_id"] async for document in found}

    async def note(self, key: str) -> None:
        with translated(), suppress(DuplicateKeyError):
            await self._collection.insert_one({"_id": key, "at": utc_now()})
