"""A dry run: one photo of a group of dead letters is tried out by a worker, and stays as it is."""

from datetime import timedelta
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from photo_pipeline.api import keys
from photo_pipeline.api.dead import photo_of
from photo_pipeline.domain.casefile import CaseFile
from photo_pipeline.domain.messages import TrialError, TrialMessage
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.replay import RunAgain, SendAgain, TellAgain, decide
from photo_pipeline.errors import (
    NotReplayableError,
    PermanentError,
    TrialUnansweredError,
    UnknownDeadLetterError,
)
from photo_pipeline.storage.dead_letters import CaseSelection

LOOKED_AT: Final = 100  # cases, for one that can be tried: most can


class DeadLetterTrial(BaseModel):
    """How the stage did with the photo of dead letter ``id``; well if there is no ``error``."""

    id: str
    photo_id: str
    stage: str
    worker: str
    version: str
    work_ms: int
    error: TrialError | None


async def try_out(app: web.Application, selection: CaseSelection) -> DeadLetterTrial:
    """Let a worker run the stage on the photo of one case, keeping nothing.

    Raises why no case can be tried, UnknownDeadLetterError if there is none at all, and
    TrialUnansweredError when no worker answers.
    """
    case, photo = await _one(app, selection)
    queue = app[keys.NAMES].stage_queue(case.stage)
    if not (await app[keys.COUNT_QUEUES]([queue]))[queue].consumers:
        raise TrialUnansweredError(f"no worker of {case.stage} is running")
    trial = TrialMessage(
        photo_id=photo.id,
        stage=case.stage,
        answer_before=utc_now() + timedelta(seconds=app[keys.LIMITS].trial_s),
    )
    answer = await app[keys.ASK_WORKER](trial, photo.traceparent)
    return DeadLetterTrial(id=case.id, **answer.model_dump())


async def _one(app: web.Application, selection: CaseSelection) -> tuple[CaseFile, Photo]:
    """Return the first case that a replay would send to a stage, with its photo."""
    reason: PermanentError = UnknownDeadLetterError("there is no such open dead letter")
    looked_at = 0
    async for case in app[keys.DEAD_LETTERS].oldest(selection):
        try:
            match decide(case, await photo_of(app, case), at=utc_now()):
                case RunAgain(photo) | SendAgain(photo):
                    return case, photo
                case TellAgain():
                    reason = NotReplayableError("an event cannot be tried: somebody would hear it")
        except PermanentError as error:
            reason = error
        if (looked_at := looked_at + 1) == LOOKED_AT:
            break
    raise reason
