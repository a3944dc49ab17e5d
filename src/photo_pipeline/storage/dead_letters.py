"""The case files of the dead letters."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from photo_pipeline.domain.casefile import CaseEntry, CaseFile, CaseState
from photo_pipeline.errors import UnknownDeadLetterError
from photo_pipeline.storage.mongo import Database, Document, create_indexes, translated

KEPT: Final = timedelta(days=90)
"""How long a case that was replayed or discarded is kept: longer than anybody asks what became
of it. An open one stays for good."""

GROUPS: Final = 100  # more kinds of faults at a time nobody looks through


@dataclass(frozen=True, slots=True)
class CaseCursor:
    """A place in the list of cases, newest first."""

    filed_at: datetime
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSelection:
    """Which cases; what is None does not matter. ``before`` is the last one seen."""

    state: CaseState | None = None
    stage: str | None = None
    fingerprint: str | None = None
    before: CaseCursor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseGroup:
    """The cases with one fingerprint; ``latest`` was filed last."""

    fingerprint: str
    count: int
    first_died_at: datetime
    last_died_at: datetime
    latest: CaseFile


class DeadLetters(Protocol):
    """The store of the case files. Every method may raise StoreUnavailableError."""

    async def ensure_indexes(self) -> None:
        """Create the indexes that the queries here need; idempotent."""

    async def file(self, case: CaseFile) -> bool:
        """Keep *case* unless one of its id is there already, which stays; return whether."""

    async def get(self, case_id: str) -> CaseFile:
        """Return the case or raise UnknownDeadLetterError."""

    async def page(self, selection: CaseSelection, limit: int) -> list[CaseFile]:
        """Return at most *limit* cases, those filed last first."""

    async def groups(self, selection: CaseSelection) -> list[CaseGroup]:
        """Return the groups of like cases (GROUPS at most), the largest first."""

    def oldest(self, selection: CaseSelection) -> AsyncIterator[CaseFile]:
        """Yield the cases, those filed first first."""

    async def close(self, case_id: str, entry: CaseEntry) -> CaseFile:
        """Note what was done about an open case; return the case as it stands then.

        One that is closed already stays as it is. Raises UnknownDeadLetterError.
        """


_INDEXES: Final[Sequence[IndexModel]] = (
    IndexModel([("filed_at", DESCENDING), ("_id", DESCENDING)]),
    IndexModel([("fingerprint", ASCENDING), ("filed_at", DESCENDING), ("_id", DESCENDING)]),
    IndexModel([("state", ASCENDING), ("filed_at", DESCENDING), ("_id", DESCENDING)]),
    IndexModel("closed_at", expireAfterSeconds=int(KEPT.total_seconds())),
)
_NEWEST: Final = [("filed_at", DESCENDING), ("_id", DESCENDING)]


class MongoDeadLetters:
    """The store in MongoDB, collection ``dead_letters``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = database["dead_letters"]

    async def ensure_indexes(self) -> None:
        await create_indexes(self._database, "dead_letters", _INDEXES)

    async def file(self, case: CaseFile) -> bool:
        try:
            with translated():
                await self._collection.insert_one(_document(case))
        except DuplicateKeyError:
            return False
        return True

    async def get(self, case_id: str) -> CaseFile:
        with translated():
            document = await self._collection.find_one({"_id": case_id})
        if document is None:
            raise UnknownDeadLetterError(f"no dead letter {case_id}")
        return _case(document)

    async def page(self, selection: CaseSelection, limit: int) -> list[CaseFile]:
        with translated():
            newest = self._collection.find(_filter(selection)).sort(_NEWEST).limit(limit)
            return [_case(document) for document in await newest.to_list(limit)]

    async def groups(self, selection: CaseSelection) -> list[CaseGroup]:
        pipeline: list[Document] = [
            {"$match": _filter(selection)},
            {"$sort": dict(_NEWEST)},
            {
                "$group": {
                    "_id": "$fingerprint",
                    "count": {"$sum": 1},
                    "first": {"$min": "$died_at"},
                    "last": {"$max": "$died_at"},
                    "latest": {"$first": "$_id"},
                }
            },
            {"$sort": {"count": DESCENDING, "last": DESCENDING, "_id": ASCENDING}},
            {"$limit": GROUPS},
        ]
        with translated():
            found = await self._collection.aggregate(pipeline).to_list(GROUPS)
            latest = {
                document["_id"]: _case(document)
                async for document in self._collection.find(
                    {"_id": {"$in": [group["latest"] for group in found]}}
                )
            }
        return [
            CaseGroup(
                fingerprint=group["_id"],
                count=group["count"],
                first_died_at=group["first"],
                last_died_at=group["last"],
                latest=latest[group["latest"]],
            )
            for group in found
            if group["latest"] in latest
        ]

    async def oldest(self, selection: CaseSelection) -> AsyncIterator[CaseFile]:
        with translated():
            async for document in self._collection.find(_filter(selection)).sort(
                [("filed_at", ASCENDING), ("_id", ASCENDING)]
            ):
                yield _case(document)

    async def close(self, case_id: str, entry: CaseEntry) -> CaseFile:
        with translated():
            await self._collection.update_one(
                {"_id": case_id, "state": CaseState.OPEN},
                {
                    "$set": {"state": entry.action, "closed_at": entry.at},
                    "$push": {"history": entry.model_dump(mode="python")},
                },
            )
        return await self.get(case_id)


def _filter(selection: CaseSelection) -> Document:
    wanted: Document = {
        name: value
        for name in ("state", "stage", "fingerprint")
        if (value := getattr(selection, name)) is not None
    }
    if (before := selection.before) is not None:
        wanted["$or"] = [
            {"filed_at": {"$lt": before.filed_at}},
            {"filed_at": before.filed_at, "_id": {"$lt": before.id}},
        ]
    return wanted


def _document(case: CaseFile) -> Document:
    document = case.model_dump(mode="python", by_alias=True)
    # As text: anybody may have named a header, also in a way that MongoDB cannot search.
    document["message"]["headers"] = json.dumps(dict(case.message.headers))
    return document


def _case(document: Document) -> CaseFile:
    message: dict[str, Any] = document["message"]
    headers = json.loads(message["headers"])
    return CaseFile.model_validate({**document, "message": {**message, "headers": headers}})
