"""The status documents in MongoDB."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

import structlog
from pydantic import ValidationError
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from photo_pipeline.domain.changes import Change
from photo_pipeline.domain.likeness import NEAR, hamming
from photo_pipeline.domain.moderation import WAITING
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import PhotoStatus, StageStatus
from photo_pipeline.errors import UnknownPhotoError
from photo_pipeline.storage.mongo import Database, Document, create_indexes, translated
from photo_pipeline.storage.photos import UNENDED, Applied, Selection, Standing, Standings

log = structlog.get_logger()

# Photos at their end have no position, and leave the indexes on it.
_AT_A_STAGE: Final[Document] = {"position.stage": {"$exists": True}}
_NOT_AT_THEIR_END: Final = (StageStatus.PENDING, StageStatus.RUNNING, StageStatus.RETRYING)

_INDEXES: Final[Sequence[IndexModel]] = (
    IndexModel("owed_since", partialFilterExpression={"owed_since": {"$exists": True}}),
    IndexModel("updated_at"),
    IndexModel([("sha256", ASCENDING), ("_id", DESCENDING)]),
    *(
        IndexModel(
            [(field, ASCENDING), ("_id", DESCENDING)],
            partialFilterExpression={field: {"$exists": True}},
        )
        for field in ("found.tags", "found.faces", "found.colours", "found.bands")
    ),
    IndexModel(
        [("moderation.verdict", ASCENDING), ("_id", ASCENDING)],
        partialFilterExpression={"moderation.verdict": {"$exists": True}},
    ),
    IndexModel([("status", ASCENDING), ("_id", DESCENDING)]),
    IndexModel(
        [("position.stage", ASCENDING), ("status", ASCENDING), ("_id", DESCENDING)],
        partialFilterExpression=_AT_A_STAGE,
    ),
    IndexModel(
        [
            ("position.status", ASCENDING),
            ("position.stage", ASCENDING),
            ("status", ASCENDING),
            ("position.since", ASCENDING),
        ],
        partialFilterExpression=_AT_A_STAGE,
    ),
)

_STANDINGS: Final[Sequence[Document]] = (
    # The second condition lets the server use the index, which holds all it needs; it reads the
    # documents all the same if asked whether there is a stage ($exists).
    {"$match": {"position.status": {"$in": _NOT_AT_THEIR_END}, "position.stage": {"$gt": ""}}},
    {
        "$group": {
            "_id": {"stage": "$position.stage", "status": "$position.status"},
            "photos": {"$sum": 1},
            "since": {"$min": "$position.since"},
        }
    },
)


class MongoPhotos:
    """The store in MongoDB, collection ``photos``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = database["photos"]

    async def ensure_indexes(self) -> None:
        await create_indexes(self._database, "photos", _INDEXES)

    async def insert(self, photo: Photo) -> bool:
        document = photo.model_dump(mode="python", by_alias=True)
        try:
            with translated():
                await self._collection.insert_one({**document, "owed_since": photo.created_at})
        except DuplicateKeyError:
            return False
        return True

    async def remove(self, photo_id: str) -> bool:
        with translated():
            result = await self._collection.delete_one({"_id": photo_id})
        return result.deleted_count == 1

    async def get(self, photo_id: str) -> Photo:
        with translated():
            document = await self._collection.find_one({"_id": photo_id})
        return _photo(document, photo_id)

    async def apply(self, photo_id: str, run: int, change: Change) -> Applied:
        allowed: Document = {
            "_id": photo_id,
            "run": run,
            "status": {"$in": list(change.allowed_photo_statuses)},
        }
        if change.stage is not None and change.stage_status is not None:
            allowed[f"stages.{change.stage}.status"] = {"$in": list(change.allowed_stage_statuses)}
        allowed |= change.expects
        with translated():
            document: Document | None = await self._collection.find_one_and_update(
                allowed, _update(change), return_document=ReturnDocument.AFTER
            )
        if document is None:
            return Applied(await self.get(photo_id), applied=False)
        return Applied(_photo(document, photo_id), applied=True)

    async def page(self, selection: Selection, limit: int) -> list[Photo]:
        wanted: Document = {"status": {"$in": list(selection.statuses)}}
        if selection.stage is not None:
            wanted["position.stage"] = selection.stage
        if selection.before is not None:
            wanted["_id"] = {"$lt": selection.before}
        searched = (
            ("found.tags", selection.tag),
            ("found.faces", selection.faces),
            ("found.colours", selection.colour),
        )
        wanted |= {field: value for field, value in searched if value is not None}
        found: list[Photo] = []
        while (missing := limit - len(found)) > 0:
            with translated():
                # A UUIDv7 begins with the time: the newest id is the newest photo.
                newest = self._collection.find(wanted).sort("_id", DESCENDING).limit(missing)
                documents = await newest.to_list(missing)
            found += _readable(documents)
            if len(documents) < missing:
                break
            # In the place of those that cannot be read: a short page would look like the last.
            wanted["_id"] = {"$lt": documents[-1]["_id"]}
        return found

    async def same_upload(self, photo: Photo, limit: int) -> list[Photo]:
        others: Document = {
            "sha256": photo.sha256,
            "_id": {"$ne": photo.id},
            "status": {"$ne": PhotoStatus.DELETED},
        }
        with translated():
            newest = self._collection.find(others).sort("_id", DESCENDING).limit(limit)
            return list(_readable(await newest.to_list(limit)))

    async def alike(self, photo: Photo, limit: int) -> list[Photo]:
        if photo.found is None or photo.found.hash is None or not photo.found.bands:
            return []
        sharing: Document = {
            "found.bands": {"$in": list(photo.found.bands)},
            "_id": {"$ne": photo.id},
            "sha256": {"$ne": photo.sha256},
        }
        near: list[tuple[int, str]] = []
        with translated():
            # Only the hashes first: of those who share a part, few are near.
            async for other in self._collection.find(sharing, {"found.hash": True}):
                bits = hamming(other["found"]["hash"], photo.found.hash)
                if bits <= NEAR:
                    near.append((bits, other["_id"]))
            near.sort(key=itemgetter(1), reverse=True)
            near.sort(key=itemgetter(0))
            ids = [photo_id for _, photo_id in near[:limit]]
            documents = await self._collection.find({"_id": {"$in": ids}}).to_list(limit)
        by_id = {other.id: other for other in _readable(documents)}
        return [by_id[photo_id] for photo_id in ids if photo_id in by_id]

    async def changed_since(self, since: datetime) -> AsyncIterator[Photo]:
        with translated():
            async for document in self._collection.find({"updated_at": {"$gte": since}}).sort(
                "updated_at"
            ):
                for photo in _readable([document]):
                    yield photo

    async def revisions_since(self, since: datetime) -> AsyncIterator[tuple[str, int]]:
        with translated():
            async for document in self._collection.find(
                {"updated_at": {"$gte": since}, "revision": {"$type": "number"}},
                {"revision": True},
            ):
                yield document["_id"], document["revision"]

    async def standings(self) -> Standings:
        with translated():
            groups = await self._collection.aggregate(list(_STANDINGS)).to_list(None)
        return {
            (group["_id"]["stage"], StageStatus(group["_id"]["status"])): Standing(
                group["photos"], group["since"]
            )
            for group in groups
        }

    async def owed(self, before: datetime) -> AsyncIterator[Photo]:
        with translated():
            async for document in self._collection.find({"owed_since": {"$lt": before}}).sort(
                "owed_since"
            ):
                for photo in _readable([document]):
                    yield photo

    async def paid(self, photo_id: str, run: int, revision: int | None = None) -> None:
        wanted: Document = {"_id": photo_id, "run": run}
        if revision is not None:
            wanted["revision"] = revision
        with translated():
            await self._collection.update_one(wanted, {"$unset": {"owed_since": ""}})

    async def waiting_for_review(self, after: str | None, limit: int) -> list[Photo]:
        wanted: Document = {"moderation.verdict": {"$in": list(WAITING)}}
        if after is not None:
            wanted["_id"] = {"$gt": after}
        with translated():
            oldest = self._collection.find(wanted).sort("_id", ASCENDING).limit(limit)
            return list(_readable(await oldest.to_list(limit)))

    async def queued_again(self, photo_id: str, run: int, at: datetime) -> None:
        with translated():
            await self._collection.update_one(
                {"_id": photo_id, "run": run, "position.status": StageStatus.PENDING},
                {"$set": {"position.since": at}},
            )

    async def begun(self, stage: str) -> list[datetime]:
        at_work = {"position.stage": stage, "position.status": StageStatus.RUNNING}
        queued_at = f"stages.{stage}.queued_at"
        with translated():
            found = await self._collection.find(at_work, {queued_at: True}).to_list(None)
        times = (document["stages"].get(stage, {}).get("queued_at") for document in found)
        return [time for time in times if time is not None]

    async def waiting(
        self, stage: str, status: StageStatus, before: datetime
    ) -> AsyncIterator[Photo]:
        wanted = {
            "position.stage": stage,
            "position.status": status,
            "status": {"$in": list(UNENDED)},
            "position.since": {"$lt": before},
            "owed_since": {"$exists": False},
        }
        with translated():
            async for document in self._collection.find(wanted).sort("position.since"):
                for photo in _readable([document]):
                    yield photo

    async def owe(self, photo: Photo, at: datetime) -> bool:
        unchanged = {
            "_id": photo.id,
            "run": photo.run,
            "revision": photo.revision,
            "owed_since": {"$exists": False},
        }
        with translated():
            result = await self._collection.update_one(
                unchanged, {"$set": {"owed_since": at, "position.since": at}}
            )
        return result.modified_count == 1


def _update(change: Change) -> Document:
    sets: dict[str, Any] = {
        "status": change.photo_status,
        "updated_at": change.entry.at,
        **change.sets,
    }
    if change.stage is not None and change.stage_status is not None:
        sets[f"stages.{change.stage}.status"] = change.stage_status
    return {
        "$set": sets,
        # The oldest debt counts: whoever pays it pays those after it.
        **({"$min": {"owed_since": change.entry.at}} if change.owes else {}),
        "$inc": {"revision": 1, **change.increments},
        "$push": {"timeline": change.entry.model_dump(mode="python", exclude_none=True)},
    }


def _readable(documents: Iterable[Document]) -> Iterator[Photo]:
    for document in documents:
        try:
            yield Photo.model_validate(document)
        except ValidationError as error:
            # Of another version, or mended by hand: it must not hold up the others.
            log.error("photo.unreadable", photo_id=document["_id"], error=str(error))


def _photo(document: Document | None, photo_id: str) -> Photo:
    if document is None:
        raise UnknownPhotoError(f"no photo {photo_id}")
    return Photo.model_validate(document)
