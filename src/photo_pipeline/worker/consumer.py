"""The one consumer that runs every stage.

The order that must hold: consume → load → transform → store → record → forward → ack.
Nothing is settled before what it caused is durable. A cut anywhere, followed by redelivery,
repeats work or a forward and loses nothing; so everything downstream tolerates repeats.
"""

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog

from photo_pipeline.broker.deliveries import Delivery, Verdict
from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain import changes
from photo_pipeline.domain.formats import FORMATS
from photo_pipeline.domain.messages import WorkMessage
from photo_pipeline.domain.photo import Photo, Rendition, utc_now
from photo_pipeline.domain.stage import Output, Parameters, Picture, Stage
from photo_pipeline.domain.status import PhotoStatus, StageStatus
from photo_pipeline.domain.trace import trace_of
from photo_pipeline.erase import erase_bytes
from photo_pipeline.errors import (
    BlobUnavailableError,
    CrashLoopError,
    ForwardFailedError,
    MalformedMessageError,
    RetryableError,
    StageFailedError,
    UnexpectedError,
    UnknownPhotoError,
)
from photo_pipeline.metrics import Metrics
from photo_pipeline.storage.blobs import Blobs, rendition_key
from photo_pipeline.worker.executor import Executor
from photo_pipeline.worker.failures import OBSOLETE, RETURNED, Failures
from photo_pipeline.worker.recipe import recipe_hash, source
from photo_pipeline.worker.recorder import Job, Recorder, standing

log = structlog.get_logger()

MAX_STARTS: Final = 15
"""A message delivered this often without the stage ever coming to an end, be it a failure,
takes its worker down with it. Below the queue's delivery limit, which would bury the message
without anybody telling the photo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Results:
    """What a stage made of a photo, and the recipe that it was made by."""

    recipe: str
    renditions: tuple[Rendition, ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConsumer:
    """Handles the deliveries of one stage's queue."""

    name: str
    stage: Stage[Any]
    recorder: Recorder
    blobs: Blobs
    publisher: Publisher
    executor: Executor
    failures: Failures
    metrics: Metrics
    worker: str

    async def __call__(self, delivery: Delivery) -> Verdict:
        """Handle one delivery and say how to settle it."""
        try:
            job = self._parse(delivery)
        except MalformedMessageError as error:
            return await self.failures.bury_malformed(delivery, error)
        with structlog.contextvars.bound_contextvars(
            photo_id=job.photo_id, stage=self.name, attempt=job.message.attempt
        ):
            started = time.monotonic()
            with self.metrics.stage_running.labels(self.name).track_inprogress():
                try:
                    result = await self._advance(job)
                except Exception as error:  # noqa: BLE001  # judged, whatever it is
                    result = await self.failures.give_up(job, error)
                if result == OBSOLETE:
                    result = await self._end_obsolete(job)
            self.metrics.stage_attempts.labels(self.name, result).inc()
            self.metrics.stage_seconds.labels(self.name).observe(time.monotonic() - started)
        return Verdict.AGAIN if result == RETURNED else Verdict.ACK

    async def _advance(self, job: Job) -> str:
        """Bring the photo one stage further, from whatever point the last holder left it at."""
        begun = await self._begin(job)
        # Found done: the last holder died between record and forward.
        photo, result = begun, "repeated"
        if standing(job, begun) is StageStatus.RUNNING:
            result, results = "reused", await self._made_before(begun)
            if results is None:
                result, results = "done", await self._store(begun, await self.make(begun))
            photo = await self._record(job, begun, results)
        match standing(job, photo):
            case StageStatus.DONE:
                # Before the photo can reach its end: a further run may make the same again.
                await self._drop_replaced(begun, photo)
                await self._forward(job)
            case StageStatus.FAILED:
                # The last holder may have died before it told anybody: fail again, as told.
                raise _stored_failure(photo, self.name)
            case _:
                log.info("stage.obsolete", run=photo.run, status=photo.status)
                return OBSOLETE
        log.info("stage.advanced", result=result, revision=photo.revision)
        return result

    async def make(self, photo: Photo) -> Output:
        """Return what the stage makes of *photo*; nothing of it is kept."""
        return await self._transform(photo, await self._load(photo))

    async def _begin(self, job: Job) -> Photo:
        """Enter RUNNING, counted; or learn what stands in the way."""
        begun = await self.recorder.apply(
            job,
            changes.stage_started(
                self.name,
                attempt=job.message.attempt,
                redelivered=job.redelivered,
                worker=self.worker,
                at=utc_now(),
            ),
        )
        if begun.applied and begun.photo.stages[self.name].unended > MAX_STARTS:
            raise CrashLoopError(f"begun {MAX_STARTS} times without an end")
        return begun.photo

    def _typed_parameters(self, photo: Photo) -> Parameters:
        # What the photo was uploaded with, not what the preset says today.
        preset = self.stage.parameters.model_validate(photo.preset.stages.get(self.name, {}))
        parameters: Parameters = self.stage.for_photo(preset, photo.subject)
        return parameters

    def _parameters(self, photo: Photo) -> Mapping[str, Any]:
        return self._typed_parameters(photo).model_dump(mode="json")

    async def _load(self, photo: Photo) -> dict[str, bytes]:
        names = self.stage.reads(self._typed_parameters(photo))
        return {name: await self.blobs.read(source(photo, name)[0]) for name in names}

    async def _transform(self, photo: Photo, inputs: Mapping[str, bytes]) -> Output:
        output = await self.executor.run(inputs, self._parameters(photo))
        # The names come out of a process that has touched foreign bytes, and go into paths.
        made = sorted(picture.name for picture in output.pictures)
        if made != sorted(self.stage.writes(self._typed_parameters(photo))):
            raise UnexpectedError(f"made {made}, which is not what the stage makes")
        return output

    def _recipe(self, photo: Photo) -> str:
        return recipe_hash(photo, self.name, self.stage, self._parameters(photo))

    async def _made_before(self, photo: Photo) -> _Results | None:
        """Return what an earlier run made by the same recipe, if all of it is still there."""
        slot = photo.stages[self.name]
        if slot.recipe is None or slot.recipe != self._recipe(photo):
            return None
        if not self.stage.complete(slot.facts):
            return None
        for rendition in slot.renditions:
            # A worker of a version without recipes may have made these by another one.
            if f"/{slot.recipe}/" not in rendition.key:
                return None
            if await self.blobs.size(rendition.key) != rendition.bytes:
                return None
        return _Results(recipe=slot.recipe, renditions=slot.renditions, facts=slot.facts)

    async def _store(self, photo: Photo, output: Output) -> _Results:
        recipe = self._recipe(photo)
        renditions = [await self._store_one(photo, recipe, p) for p in output.pictures]
        return _Results(recipe=recipe, renditions=tuple(renditions), facts=output.recorded)

    async def _store_one(self, photo: Photo, recipe: str, picture: Picture) -> Rendition:
        format_ = FORMATS[picture.format]
        key = rendition_key(photo.id, recipe, picture.name, format_.extension)
        await self.blobs.write(key, picture.data)
        return Rendition(
            name=picture.name,
            stage=self.name,
            width=picture.width,
            height=picture.height,
            format=picture.format,
            content_type=format_.content_type,
            bytes=len(picture.data),
            sha256=hashlib.sha256(picture.data).hexdigest(),
            key=key,
            receipt=picture.receipt,
        )

    async def _record(self, job: Job, photo: Photo, results: _Results) -> Photo:
        remaining = job.message.remaining
        done = await self.recorder.apply(
            job,
            changes.stage_done(
                self.name,
                recipe=results.recipe,
                renditions=results.renditions,
                facts=results.facts,
                next_stage=remaining[0] if remaining else None,
                moderation=photo.moderation,
                attempt=job.message.attempt,
                worker=self.worker,
                at=utc_now(),
            ),
        )
        return done.photo

    async def _forward(self, job: Job) -> None:
        """Hand the photo to the next stage of its slip, or tell its outcome."""
        try:
            await self._hand_on(job)
        except RetryableError:
            raise
        except Exception as error:
            raise ForwardFailedError(f"{type(error).__name__}: {error}") from error

    async def _hand_on(self, job: Job) -> None:
        following = job.message.forward()
        if following is not None:
            await self.publisher.work(following, traceparent=job.traceparent)
            return
        done = await self.recorder.apply(job, changes.photo_done(at=utc_now()))
        await self.recorder.tell_outcome(job, done.photo)

    async def _drop_replaced(self, before: Photo, after: Photo) -> None:
        """Delete what an earlier run left in this stage's slot and this run has replaced."""
        kept = {rendition.key for rendition in after.renditions}
        for rendition in before.stages[self.name].renditions:
            if rendition.key not in kept:
                with suppress(BlobUnavailableError):  # no reason to keep the photo waiting
                    await self.blobs.delete(rendition.key)

    async def _end_obsolete(self, job: Job) -> str:
        """Tell the outcome that the job's run had, and leave no byte behind of a deleted photo."""
        try:
            photo = await self.recorder.photos.get(job.photo_id)
            await self.recorder.tell_outcome(job, photo)
            if photo.status is PhotoStatus.DELETED:
                await erase_bytes(photo.id, self.blobs)
        except RetryableError as error:
            log.warning("stage.not_ended", error=error.message)
            return RETURNED
        except UnknownPhotoError:
            pass
        return OBSOLETE

    def _parse(self, delivery: Delivery) -> Job:
        message = WorkMessage.decode(delivery.body)
        if message.stage != self.name:
            raise MalformedMessageError(f"for stage {message.stage!r}, not {self.name!r}")
        return Job(
            message=message,
            traceparent=trace_of(delivery.headers.get("traceparent")),
            redelivered=delivery.redelivered,
        )


def _stored_failure(photo: Photo, stage: str) -> StageFailedError:
    stored = photo.stages[stage].error
    if stored is None:
        return StageFailedError(f"{stage} has failed", StageFailedError.code)
    return StageFailedError(stored.message, stored.code)
