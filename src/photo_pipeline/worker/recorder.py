"""Recording what happens to a photo, and telling whoever follows it."""

from dataclasses import dataclass

from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain.changes import Change
from photo_pipeline.domain.messages import WorkMessage, latest_event, outcome_of_run
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import PhotoStatus, StageStatus
from photo_pipeline.storage.photos import Applied, Photos


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One delivery: the message and the trace (W3C Trace Context) that it belongs to.

    ``redelivered`` says that somebody had it before and did not settle it.
    """

    message: WorkMessage
    traceparent: str
    redelivered: bool = False

    @property
    def photo_id(self) -> str:
        """The photo that the message is about."""
        return self.message.photo_id


def standing(job: Job, photo: Photo) -> StageStatus | None:
    """Return where the message's stage stands; None when the message came too late.

    Too late: the photo is on another run, or deleted, or does not go through this stage.
    """
    slot = photo.stages.get(job.message.stage)
    if slot is None or photo.run != job.message.run or photo.status is PhotoStatus.DELETED:
        return None
    return slot.status


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Changes status documents and tells of the changes."""

    photos: Photos
    publisher: Publisher

    async def apply(self, job: Job, change: Change) -> Applied:
        """Make *change* and hint at it to the status stream."""
        result = await self.photos.apply(job.photo_id, job.message.run, change)
        if result.applied:
            event = latest_event(result.photo)
            await self.publisher.status(event, traceparent=job.traceparent)
        return result

    async def tell_outcome(self, job: Job, photo: Photo) -> None:
        """Publish the outcome of the job's run, if it had one: the same event however often.

        Whoever recorded it may have died before telling, and the photo may have begun another
        run, or been deleted, in between.
        """
        event = outcome_of_run(photo, job.message.run)
        if event is not None:
            await self.publisher.outcome(event, traceparent=job.traceparent)
