"""Which upload came under which Idempotency-Key.

A key's record names the photo before there is one. Whoever holds its lease works on that photo;
a holder that dies lets the lease end, and the next one goes on with the same photo. The
fingerprint is set once, before the first durable effect: from then on only the same upload is
worked on under this key, so that whoever is late writes the same bytes to the same name.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

from pymongo import IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from photo_pipeline.storage.mongo import Database, Document, create_indexes, translated

REMEMBERED: Final = timedelta(hours=24)
"""How long a key is remembered: a client that retries for longer than a day has given up, or has
been started anew and makes a new key."""

LEASE: Final = timedelta(seconds=10)
"""How long a holder that has died keeps others waiting. It is renewed three times as often: a
process that pauses for a moment, or one slow answer of the database, does not lose it."""

_MS: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What is known of a key: its photo, its upload once that is known, and who has it in hand."""

    photo_id: str
    fingerprint: str | None
    held: bool  # by whoever asked


class IdempotencyKeys(Protocol):
    """The records of the keys. Every method may raise StoreUnavailableError."""

    async def ensure_indexes(self) -> None:
        """Create the index that forgets old keys; idempotent."""

    async def reserve(self, key: str, *, holder: str, photo_id: str) -> Reservation:
        """Take the lease of *key* for *holder* unless somebody else has it.

        A new key gets *photo_id*; a known one keeps its own.
        """

    async def renew(self, key: str, *, holder: str) -> None:
        """Make the lease last for LEASE from now on, if *holder* still has it."""

    async def seal(self, key: str, *, holder: str, fingerprint: str) -> str | None:
        """Set the fingerprint unless there is one, renew, and return the one that stands.

        None when *holder* does not have the lease any more.
        """

    async def release(self, key: str, *, holder: str) -> None:
        """End the lease, if *holder* still has it. What was sealed stays sealed."""


_NOW: Final = "$$NOW"  # the server's clock: those of the API processes may differ
_LEASED: Final[Document] = {"$add": [_NOW, LEASE // _MS]}


class MongoIdempotencyKeys:
    """The records in MongoDB, collection ``idempotency_keys``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = database["idempotency_keys"]

    async def ensure_indexes(self) -> None:
        forgotten = IndexModel("created_at", expireAfterSeconds=int(REMEMBERED.total_seconds()))
        await create_indexes(self._database, "idempotency_keys", [forgotten])

    async def reserve(self, key: str, *, holder: str, photo_id: str) -> Reservation:
        try:
            document = await self._reserve(key, holder, photo_id)
        except DuplicateKeyError:  # another one came first by a hair: now there is a record
            document = await self._reserve(key, holder, photo_id)
        return Reservation(
            photo_id=document["photo_id"],
            fingerprint=document["fingerprint"],
            held=document["holder"] == holder,
        )

    async def _reserve(self, key: str, holder: str, photo_id: str) -> Document:
        over: Document = {"$lte": ["$leased_until", _NOW]}  # what is missing is less than any date
        update: list[dict[str, Any]] = [
            {
                "$set": {
                    "photo_id": {"$ifNull": ["$photo_id", photo_id]},
                    "fingerprint": {"$ifNull": ["$fingerprint", None]},
                    "created_at": {"$ifNull": ["$created_at", _NOW]},
                    "holder": {"$cond": [over, holder, "$holder"]},
                    "leased_until": {"$cond": [over, _LEASED, "$leased_until"]},
                }
            }
        ]
        with translated():
            document: Document = await self._collection.find_one_and_update(
                {"_id": key}, update, upsert=True, return_document=ReturnDocument.AFTER
            )
        return document

    async def renew(self, key: str, *, holder: str) -> None:
        await self._update(key, holder, {"leased_until": _LEASED})

    async def seal(self, key: str, *, holder: str, fingerprint: str) -> str | None:
        sets = {"fingerprint": {"$ifNull": ["$fingerprint", fingerprint]}, "leased_until": _LEASED}
        document = await self._update(key, holder, sets)
        return None if document is None else document["fingerprint"]

    async def release(self, key: str, *, holder: str) -> None:
        await self._update(key, holder, {"leased_until": _NOW})

    async def _update(self, key: str, holder: str, sets: Document) -> Document | None:
        with translated():
            document: Document | None = await self._collection.find_one_and_update(
                {"_id": key, "holder": holder},
                [{"$set": sets}],
                return_document=ReturnDocument.AFTER,
            )
        return document
