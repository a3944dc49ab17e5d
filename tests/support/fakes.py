"""Fakes for unit tests; tests/integration runs one suite over each of them and the real thing."""

import copy
from collections import defaultdict, deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from photo_pipeline.domain.changes import Change
from photo_pipeline.domain.findings import Findings
from photo_pipeline.domain.likeness import NEAR, hamming
from photo_pipeline.domain.messages import OutcomeEvent, StatusEvent, WorkMessage
from photo_pipeline.domain.moderation import WAITING
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.stage import Output, Stage
from photo_pipeline.domain.status import PhotoStatus, StageStatus
from photo_pipeline.errors import MissingBlobError, UnknownPhotoError
from photo_pipeline.storage.blobs import CHUNK_BYTES
from photo_pipeline.storage.idempotency import LEASE, Reservation
from photo_pipeline.storage.photos import UNENDED, Applied, Selection, Standing, Standings


class Cut(BaseException):  # it is no error: it stands for the death of the process
    """The process dies here. No ``except Exception`` can see it."""


class Scissors:
    """Counts effects and cuts right before or right after the n-th (from 1); 0 never cuts."""

    def __init__(self, at: int = 0, *, after: bool = False) -> None:
        self.count = 0
        self.names: list[str] = []
        self._at = at
        self.cut_after = after

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        self.count += 1
        self.names.append(name)
        mine = self.count == self._at
        if mine and not self.cut_after:
            raise Cut(name)
        yield
        if mine:
            raise Cut(name)


class Death(Scissors):
    """Cuts as Scissors do, and has no effect after that: not in any ``finally`` either."""

    dead = False

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        if self.dead:
            raise Cut(name)
        try:
            with super().effect(name):
                yield
        except Cut:
            self.dead = True
            raise


class Meanwhile(Scissors):
    """Lets something happen right before an effect, counted from 1; may cut too, as Scissors."""

    def __init__(
        self, actions: Mapping[int, Sequence[Callable[[], None]]], cut_at: int = 0
    ) -> None:
        super().__init__(cut_at)
        self._actions = actions

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        for action in self._actions.get(self.count + 1, ()):
            action()
        with super().effect(name):
            yield


class FakePhotos:
    """The status documents in memory, as plain documents like the real store's."""

    def __init__(self, scissors: Scissors | None = None) -> None:
        self._documents: dict[str, dict[str, Any]] = {}
        self._scissors = scissors or Scissors()

    async def ensure_indexes(self) -> None:
        return None

    async def insert(self, photo: Photo) -> bool:
        with self._scissors.effect("insert"):
            if photo.id in self._documents:
                return False
            document = photo.model_dump(mode="python", by_alias=True)
            self._documents[photo.id] = {**document, "owed_since": photo.created_at}
        return True

    async def become(self, photo: Photo) -> None:
        """Keep *photo* in the place of whatever there is: as it may have become meanwhile."""
        self._documents.pop(photo.id, None)
        await self.insert(photo)

    async def remove(self, photo_id: str) -> bool:
        with self._scissors.effect("remove"):
            return self._documents.pop(photo_id, None) is not None

    async def get(self, photo_id: str) -> Photo:
        if photo_id not in self._documents:
            raise UnknownPhotoError(f"no photo {photo_id}")
        return Photo.model_validate(copy.deepcopy(self._documents[photo_id]))

    async def apply(self, photo_id: str, run: int, change: Change) -> Applied:
        with self._scissors.effect(change.entry.type):
            applied = self._apply(photo_id, run, change)
        return Applied(await self.get(photo_id), applied=applied)

    def _apply(self, photo_id: str, run: int, change: Change) -> bool:
        document = self._documents.get(photo_id)
        if document is None or document["run"] != run:
            return False
        if document["status"] not in change.allowed_photo_statuses:
            return False
        for path, value in change.expects.items():
            parent, name = _walk(document, path)
            if (parent or {}).get(name) != value:
                return False
        sets = dict(change.sets)
        if change.stage is not None:
            slot = document["stages"].get(change.stage)
            if slot is None or slot["status"] not in change.allowed_stage_statuses:
                return False
            sets[f"stages.{change.stage}.status"] = change.stage_status
        sets |= {"status": change.photo_status, "updated_at": change.entry.at}
        at = change.entry.at
        if change.owes:
            sets["owed_since"] = min(document.get("owed_since") or at, at)
        for path, value in sets.items():
            parent, name = _walk(document, path)
            parent[name] = value
        for path, by in {"revision": 1, **change.increments}.items():
            parent, name = _walk(document, path)
            parent[name] += by
        document["timeline"] = [*document["timeline"], change.entry.model_dump()]
        return True

    async def _all(self) -> list[Photo]:
        return [await self.get(photo_id) for photo_id in sorted(self._documents, reverse=True)]

    async def page(self, selection: Selection, limit: int) -> list[Photo]:
        found = [
            photo
            for photo in await self._all()
            if photo.status in selection.statuses
            and (selection.before is None or photo.id < selection.before)
            and selection.stage in (None, photo.position.stage if photo.position else None)
            and _has(photo.found or Findings(), selection)
        ]
        return found[:limit]

    async def same_upload(self, photo: Photo, limit: int) -> list[Photo]:
        return [each for each in await self._others(photo) if each.sha256 == photo.sha256][:limit]

    async def alike(self, photo: Photo, limit: int) -> list[Photo]:
        if photo.found is None or photo.found.hash is None:
            return []
        mine, value = set(photo.found.bands), photo.found.hash
        near = [
            (hamming(each.found.hash, value), each)
            for each in await self._others(photo)
            if each.sha256 != photo.sha256 and each.found is not None and each.found.hash
            if mine & set(each.found.bands)
        ]
        near = sorted((pair for pair in near if pair[0] <= NEAR), key=lambda pair: pair[0])
        return [each for _, each in near][:limit]

    async def _others(self, photo: Photo) -> list[Photo]:
        return [
            each
            for each in await self._all()
            if each.id != photo.id and each.status is not PhotoStatus.DELETED
        ]

    async def changed_since(self, since: datetime) -> AsyncIterator[Photo]:
        for photo in sorted(await self._all(), key=lambda photo: photo.updated_at):
            if photo.updated_at >= since:
                yield photo

    async def revisions_since(self, since: datetime) -> AsyncIterator[tuple[str, int]]:
        for photo_id, document in list(self._documents.items()):
            if document["updated_at"] >= since:
                yield photo_id, document["revision"]

    async def standings(self) -> Standings:
        groups: defaultdict[tuple[str, StageStatus], list[datetime]] = defaultdict(list)
        for photo in await self._all():
            if (at := photo.position) and at.status not in (StageStatus.FAILED, StageStatus.DONE):
                groups[at.stage, at.status].append(at.since)
        return {key: Standing(len(since), min(since)) for key, since in groups.items()}

    async def owed(self, before: datetime) -> AsyncIterator[Photo]:
        for photo_id, document in list(self._documents.items()):
            if "owed_since" in document and document["owed_since"] < before:
                yield await self.get(photo_id)

    async def waiting_for_review(self, after: str | None, limit: int) -> list[Photo]:
        waiting = [
            photo
            for photo in reversed(await self._all())
            if photo.moderation is not None
            and photo.moderation.verdict in WAITING
            and (after is None or photo.id > after)
        ]
        return waiting[:limit]

    async def paid(self, photo_id: str, run: int, revision: int | None = None) -> None:
        with self._scissors.effect("paid"):
            document = self._documents[photo_id]
            if document["run"] == run and revision in (None, document["revision"]):
                document.pop("owed_since", None)

    async def queued_again(self, photo_id: str, run: int, at: datetime) -> None:
        document = self._documents[photo_id]
        position = document["position"] or {"status": None}
        if document["run"] == run and position["status"] == StageStatus.PENDING:
            position["since"] = at

    async def begun(self, stage: str) -> list[datetime]:
        return [
            queued_at
            for photo in await self._all()
            if (at := photo.position)
            and (at.stage, at.status) == (stage, StageStatus.RUNNING)
            and (queued_at := photo.stages[stage].queued_at)
        ]

    async def waiting(
        self, stage: str, status: StageStatus, before: datetime
    ) -> AsyncIterator[Photo]:
        for photo in sorted(
            await self._all(), key=lambda photo: photo.position.since if photo.position else before
        ):
            at = photo.position
            if (
                at is not None
                and (at.stage, at.status) == (stage, status)
                and photo.status in UNENDED
                and at.since < before
                and "owed_since" not in self._documents[photo.id]
            ):
                yield photo

    async def owe(self, photo: Photo, at: datetime) -> bool:
        with self._scissors.effect("owe"):
            document = self._documents[photo.id]
            if (document["run"], document["revision"]) != (photo.run, photo.revision):
                return False
            if "owed_since" in document:
                return False
            document["owed_since"] = document["position"]["since"] = at
            return True


def _has(found: Findings, selection: Selection) -> bool:
    return (
        (selection.tag is None or selection.tag in found.tags)
        and selection.faces in (None, found.faces)
        and (selection.colour is None or selection.colour in found.colours)
    )


def _walk(document: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    *folders, name = path.split(".")
    for folder in folders:
        document = document[folder]
    return document, name


class FakeUpload:
    """An upload in memory."""

    def __init__(self, blobs: "FakeBlobs") -> None:
        self._blobs = blobs
        self._data = bytearray()

    @property
    def size(self) -> int:
        return len(self._data)

    @property
    def sha256(self) -> str:
        return sha256(self._data).hexdigest()

    async def write(self, chunk: bytes) -> None:
        self._data += chunk

    async def commit(self, key: str) -> None:
        await self._blobs.write(key, bytes(self._data))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[BinaryIO]:
        yield BytesIO(bytes(self._data))


class FakeBlobs:
    """Blobs in memory."""

    def __init__(self, scissors: Scissors | None = None) -> None:
        self.data: dict[str, bytes] = {}
        self.written_at: dict[str, datetime] = {}
        self.room = 2**40
        self._scissors = scissors or Scissors()

    @asynccontextmanager
    async def upload(self) -> AsyncIterator[FakeUpload]:
        yield FakeUpload(self)

    async def read(self, key: str) -> bytes:
        with self._scissors.effect(f"read {Path(key).name}"):
            if key not in self.data:
                raise MissingBlobError(f"{key} is gone")
            return self.data[key]

    async def stream(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        data = (await self.read(key))[start:stop]
        for begin in range(0, len(data), CHUNK_BYTES):
            yield data[begin : begin + CHUNK_BYTES]

    async def write(self, key: str, data: bytes) -> None:
        with self._scissors.effect(f"write {Path(key).name}"):
            self.data[key] = data
            self.written_at[key] = utc_now()

    async def size(self, key: str) -> int | None:
        return len(self.data[key]) if key in self.data else None

    async def aged(self, shard: str, before: datetime) -> AsyncIterator[tuple[str, list[str]]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for key in self.data:
            _, its_shard, photo_id, *_ = key.split("/")
            if its_shard == shard and self.written_at[key] < before:
                found[photo_id].append(key)
        for photo_id, keys in found.items():
            yield photo_id, keys

    async def drop_stale(self, before: datetime) -> int:
        return 0  # there are no temporary files

    async def delete(self, key: str) -> None:
        with self._scissors.effect(f"delete {Path(key).name}"):
            self.data.pop(key, None)

    async def delete_under(self, prefix: str) -> None:
        with self._scissors.effect(f"delete {prefix.split('/', maxsplit=1)[0]}"):
            for key in [key for key in self.data if key.startswith(f"{prefix}/")]:
                del self.data[key]

    async def check(self) -> None:
        return None

    async def free_bytes(self) -> int:
        return self.room - sum(map(len, self.data.values()))


class FakeIdempotencyKeys:
    """The records of the keys in memory."""

    def __init__(self, scissors: Scissors | None = None) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.passed = timedelta()  # a lease ends when a test says that time has passed
        self._scissors = scissors or Scissors()

    def _now(self) -> datetime:
        return utc_now() + self.passed

    async def ensure_indexes(self) -> None:
        return None

    async def reserve(self, key: str, *, holder: str, photo_id: str) -> Reservation:
        with self._scissors.effect("reserve"):
            record = self.records.setdefault(
                key, {"photo_id": photo_id, "fingerprint": None, "until": self._now()}
            )
            if record["until"] <= self._now():
                record |= {"holder": holder, "until": self._now() + LEASE}
        return Reservation(
            photo_id=record["photo_id"],
            fingerprint=record["fingerprint"],
            held=record["holder"] == holder,
        )

    async def renew(self, key: str, *, holder: str) -> None:
        with self._scissors.effect("renew"):
            if (record := self._held(key, holder)) is not None:
                record["until"] = self._now() + LEASE

    async def seal(self, key: str, *, holder: str, fingerprint: str) -> str | None:
        with self._scissors.effect("seal"):
            if (record := self._held(key, holder)) is None:
                return None
            record["until"] = self._now() + LEASE
            record["fingerprint"] = record["fingerprint"] or fingerprint
        return str(record["fingerprint"])

    async def release(self, key: str, *, holder: str) -> None:
        with self._scissors.effect("release"):
            if (record := self._held(key, holder)) is not None:
                record["until"] = self._now()

    def _held(self, key: str, holder: str) -> dict[str, Any] | None:
        record = self.records.get(key)
        return record if record is not None and record["holder"] == holder else None


class FakeDeliveries:
    """The ledger of deliveries in memory."""

    def __init__(self, scissors: Scissors | None = None) -> None:
        self.keys: set[str] = set()
        self._scissors = scissors or Scissors()

    async def ensure_indexes(self) -> None:
        return None

    async def made(self, keys: Collection[str]) -> set[str]:
        return self.keys.intersection(keys)

    async def note(self, key: str) -> None:
        with self._scissors.effect("note"):
            self.keys.add(key)


@dataclass(kw_only=True)
class DeadLetter:
    body: bytes
    message_id: str | None
    headers: Mapping[str, Any]


@dataclass
class FakePublisher:
    """The broker in memory: work queues, outcomes, dead letters. Delays pass at once."""

    scissors: Scissors = field(default_factory=Scissors)
    queues: defaultdict[str, deque[bytes]] = field(default_factory=lambda: defaultdict(deque))
    outcomes: list[OutcomeEvent] = field(default_factory=list)
    dead: defaultdict[str, list[DeadLetter]] = field(default_factory=lambda: defaultdict(list))
    delays_s: list[float] = field(default_factory=list)
    hints: list[StatusEvent] = field(default_factory=list)

    async def work(self, message: WorkMessage, *, traceparent: str) -> None:
        with self.scissors.effect(f"publish {message.stage}"):
            self.queues[message.stage].append(message.encode())

    async def retry(self, message: WorkMessage, *, delay_s: float, traceparent: str) -> None:
        with self.scissors.effect(f"publish retry {message.stage}"):
            self.delays_s.append(delay_s)
            self.queues[message.stage].append(message.encode())

    async def bury(
        self,
        body: bytes,
        *,
        key: str,
        message_id: str | None,
        photo_id: str | None,
        headers: Mapping[str, Any],
    ) -> None:
        with self.scissors.effect("bury"):
            self.dead[key].append(DeadLetter(body=body, message_id=message_id, headers=headers))

    async def outcome(self, event: OutcomeEvent, *, traceparent: str) -> None:
        with self.scissors.effect("publish outcome"):
            self.outcomes.append(event)

    async def up(self, timeout_s: float) -> None:
        return None

    async def status(self, event: StatusEvent, *, traceparent: str) -> None:
        with self.scissors.effect("publish status"):
            self.hints.append(event)


@dataclass
class InlineExecutor:
    """Runs a stage's transform in this very process; *failures* are raised first, one a run."""

    stage: Stage[Any]
    failures: deque[Exception] = field(default_factory=deque)
    scissors: Scissors = field(default_factory=Scissors)
    runs: int = 0

    async def run(self, inputs: Mapping[str, bytes], parameters: Mapping[str, Any]) -> Output:
        with self.scissors.effect("transform"):
            self.runs += 1
            if self.failures:
                raise self.failures.popleft()
            return self.stage.transform(inputs, self.stage.parameters.model_validate(parameters))
