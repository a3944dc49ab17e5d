"""A tiny pipeline over fakes: stages that need no Pillow, and a broker that redelivers."""

import copy
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, cast

from photo_pipeline.broker.deliveries import Delivery, Verdict
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain.changes import photo_deleted, photo_done
from photo_pipeline.domain.messages import OutcomeEvent, first_message, outcome_event
from photo_pipeline.domain.photo import (
    Photo,
    Position,
    StageSlot,
    TimelineEntry,
    new_photo_id,
    utc_now,
)
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.rerun import rerun
from photo_pipeline.domain.stage import ORIGINAL, Output, Parameters, Picture, Stage
from photo_pipeline.domain.status import EventType, PhotoStatus, StageStatus
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.blobs import original_key
from photo_pipeline.worker.consumer import StageConsumer
from photo_pipeline.worker.failures import Failures
from photo_pipeline.worker.recorder import Recorder
from support.fakes import Cut, FakeBlobs, FakePhotos, FakePublisher, InlineExecutor, Scissors

TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
DELAYS_S = (1.0, 2.0, 3.0)


class Tiny(Parameters):
    """What is appended to the result."""

    suffix: str = ""


def tiny_stage(reads: str, writes: str) -> Stage[Tiny]:
    """Return a stage that turns what it reads upside down."""

    def transform(inputs: Mapping[str, bytes], parameters: Tiny) -> Output:
        data = inputs[reads][::-1] + parameters.suffix.encode()
        picture = Picture(name=writes, data=data, width=1, height=1, format="jpeg")
        return Output(pictures=(picture,), facts={"bytes": len(data)})

    return Stage(
        version=1,
        parameters=Tiny,
        transform=transform,
        reads=lambda _: (reads,),
        writes=lambda _: (writes,),
    )


STAGES: Mapping[str, Stage[Any]] = {
    "first": tiny_stage(ORIGINAL, "one"),
    "second": tiny_stage("one", "two"),
    "third": tiny_stage("one", "three"),
}


def make_photo(pipeline: Sequence[str] = tuple(STAGES), **changes: Any) -> Photo:
    """Return a photo as an upload leaves it."""
    now = utc_now()
    photo_id = new_photo_id()
    photo = Photo(
        id=photo_id,
        filename="photo.jpg",
        format="jpeg",
        content_type="image/jpeg",
        bytes=5,
        sha256="0" * 64,
        width=1,
        height=1,
        preset=Preset(name="default", stages={name: {} for name in pipeline}),
        pipeline=tuple(pipeline),
        original=original_key(photo_id, "photo.jpg"),
        traceparent=TRACE,
        created_at=now,
        updated_at=now,
        position=Position(stage=pipeline[0], status=StageStatus.PENDING, since=now),
        stages={
            name: StageSlot(queued_at=now if name == pipeline[0] else None) for name in pipeline
        },
        timeline=(TimelineEntry(at=now, type=EventType.PHOTO_QUEUED),),
    )
    return photo.model_copy(update=changes)


def make_outcome() -> OutcomeEvent:
    """Return the outcome of a photo of its own that went well."""
    photo = make_photo()
    done = {
        "status": PhotoStatus.DONE,
        "revision": 2,
        "timeline": (*photo.timeline, photo_done(at=utc_now()).entry),
    }
    return outcome_event(photo.model_copy(update=done))


class World:
    """Everything durable; consumers come and go."""

    def __init__(self, scissors: Scissors | None = None) -> None:
        self.scissors = scissors or Scissors()
        self.photos = FakePhotos(self.scissors)
        self.blobs = FakeBlobs(self.scissors)
        self.publisher = FakePublisher(self.scissors)
        self.failures: dict[str, deque[Exception]] = {name: deque() for name in STAGES}
        self.executors = {
            name: InlineExecutor(stage, self.failures[name], self.scissors)
            for name, stage in STAGES.items()
        }
        self.metrics = Metrics()
        self.cuts = 0

    def use(self, scissors: Scissors) -> None:
        """Count, and cut, every effect from now on with other scissors."""
        self.scissors = self.photos._scissors = self.blobs._scissors = scissors
        self.publisher.scissors = scissors
        for executor in self.executors.values():
            executor.scissors = scissors

    def consumer(self, name: str) -> StageConsumer:
        """Return a consumer as a fresh process would build it."""
        publisher = cast("Publisher", self.publisher)
        recorder = Recorder(photos=self.photos, publisher=publisher)
        return StageConsumer(
            name=name,
            stage=STAGES[name],
            recorder=recorder,
            blobs=self.blobs,
            publisher=publisher,
            executor=self.executors[name],
            failures=Failures(
                stage=name,
                recorder=recorder,
                publisher=publisher,
                worker="worker-1",
                retry_delays_s=DELAYS_S,
            ),
            metrics=self.metrics,
            worker="worker-1",
        )

    async def accept(self, photo: Photo) -> None:
        """Do what an upload does, without cuts: that has its own test."""
        self.blobs.data[photo.original] = b"photo"
        await self._quiet().insert(photo)
        self._send(photo)

    async def reprocess(
        self, photo_id: str, preset: Preset | None = None, from_stage: str | None = None
    ) -> Photo:
        """Do what a request for another run does, without cuts."""
        self.requeue(photo_id, preset, from_stage)
        return self._stored(photo_id)

    def requeue(
        self, photo_id: str, preset: Preset | None = None, from_stage: str | None = None
    ) -> None:
        """Begin another run, in the middle of whatever else goes on."""
        photo = self._stored(photo_id)
        change = rerun(
            photo,
            preset=preset or photo.preset,
            pipeline=tuple(STAGES),
            from_stage=from_stage,
            at=utc_now(),
        )
        assert self.photos._apply(photo_id, photo.run, change)
        self._send(self._stored(photo_id))

    def entomb(self, photo_id: str) -> None:
        """Make the tombstone of a deletion, in the middle of whatever else goes on."""
        photo = self._stored(photo_id)
        assert self.photos._apply(photo_id, photo.run, photo_deleted(photo, at=utc_now()))

    def _stored(self, photo_id: str) -> Photo:
        return Photo.model_validate(copy.deepcopy(self.photos._documents[photo_id]))

    def erase(self, photo_id: str) -> None:
        """Erase the bytes as a deletion does, in the middle of whatever else goes on."""
        for key in [key for key in self.blobs.data if f"/{photo_id}/" in key]:
            del self.blobs.data[key]

    def _quiet(self) -> FakePhotos:
        quiet = FakePhotos()
        quiet._documents = self.photos._documents
        return quiet

    def _send(self, photo: Photo) -> None:
        message = first_message(photo)
        self.publisher.queues[message.stage].append(message.encode())

    async def deliver(self, stage: str, body: bytes, *, redelivered: bool = False) -> bool:
        """Deliver once; return whether the message is settled. A cut leaves it in the queue."""
        delivery = Delivery(
            body=body,
            headers={"traceparent": TRACE},
            message_id="m",
            correlation_id="c",
            redelivered=redelivered,
        )
        try:
            verdict = await self.consumer(stage)(delivery)
            with self.scissors.effect("ack"):
                pass
        except Cut:
            self.cuts += 1
            # Cut after the ack reached the broker: the message is gone all the same.
            return self.scissors.names[-1] == "ack" and self.scissors.cut_after
        return verdict is Verdict.ACK

    async def run(self, limit: int = 100) -> None:
        """Deliver until every queue is empty; whatever is not settled comes again."""
        for _ in range(limit):
            waiting = [(name, queue) for name, queue in self.publisher.queues.items() if queue]
            if not waiting:
                return
            name, queue = waiting[0]
            body = queue[0]
            if await self.deliver(name, body):
                queue.popleft()
        raise AssertionError("the queues never became empty")
