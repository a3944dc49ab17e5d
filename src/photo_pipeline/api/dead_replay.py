"""Doing something about dead letters: replay one or a group, try one out, discard one.

The order that must hold: what the replay causes is durable, then the case is closed, then the
message goes out of its queue. A cut in between leaves a case that is open or a message that is
left over, and loses nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from photo_pipeline.api import keys
from photo_pipeline.api.body import read_body
from photo_pipeline.api.dead import file_document, photo_of
from photo_pipeline.api.problems import json_response
from photo_pipeline.api.trial import DeadLetterTrial, try_out
from photo_pipeline.api.uploads import send_on_its_way
from photo_pipeline.domain.casefile import CaseEntry, CaseFile, CaseState
from photo_pipeline.domain.headers import RepeatHeaders
from photo_pipeline.domain.photo import utc_now
from photo_pipeline.domain.replay import RunAgain, SendAgain, TellAgain, decide
from photo_pipeline.domain.trace import trace_of
from photo_pipeline.errors import BrokerUnavailableError, PermanentError
from photo_pipeline.storage.dead_letters import CaseSelection

log = structlog.get_logger()

AT_ONCE: Final = 500
"""Replays of one request: it is answered within seconds, and its photos do not bury those that
come meanwhile. Who wants more asks again."""

REFUSALS_TOLD: Final = 100


class ReplayBody(BaseModel):
    """Which open dead letters: those of *fingerprint*, else all. ``dry_run`` only tries one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str | None = Field(None, max_length=100)
    dry_run: bool = False


class RefusedReplay(BaseModel):
    """A dead letter that was not replayed, and stays open."""

    id: str
    code: str
    detail: str


class Replayed(BaseModel):
    """What was replayed; ``more`` says that there are others: ask again.

    ``trial`` is the outcome of a dry run, which replays nothing.
    """

    replayed: list[str]
    refused: list[RefusedReplay] = Field(description=f"The first {REFUSALS_TOLD} of them.")
    more: bool
    trial: DeadLetterTrial | None = None


async def post_replay(request: web.Request) -> web.Response:
    """Replay one dead letter."""
    case = await request.app[keys.DEAD_LETTERS].get(request.match_info["id"])
    replayed = await _replay(request.app, case)
    await _take_out(request.app, [replayed])
    return json_response(file_document(replayed), status=202)


async def post_replay_group(request: web.Request) -> web.Response:
    """Replay the open dead letters of a group, or of all; a dry run tries one of them out."""
    wanted = await read_body(request, ReplayBody)
    open_ones = CaseSelection(state=CaseState.OPEN, fingerprint=wanted.fingerprint)
    if wanted.dry_run:
        trial = await try_out(request.app, open_ones)
        answer = Replayed(replayed=[], refused=[], more=False, trial=trial)
        return json_response(answer)
    return json_response(await _replay_all(request.app, open_ones), status=202)


async def _replay_all(app: web.Application, selection: CaseSelection) -> Replayed:
    replayed: list[CaseFile] = []
    refused: list[RefusedReplay] = []
    more = False
    try:
        async for case in app[keys.DEAD_LETTERS].oldest(selection):
            if more := len(replayed) == AT_ONCE:
                break
            try:
                replayed.append(await _replay(app, case))
            except PermanentError as error:
                refused.append(RefusedReplay(id=case.id, code=error.code, detail=error.message))
    finally:
        await _take_out(app, replayed)
    return Replayed(
        replayed=[case.id for case in replayed], refused=refused[:REFUSALS_TOLD], more=more
    )


async def _replay(app: web.Application, case: CaseFile) -> CaseFile:
    """Carry out what replaying *case* means; return it closed."""
    run = await _carry_out(app, case)
    entry = CaseEntry(at=utc_now(), action=CaseState.REPLAYED, run=run)
    log.info("dead_letter.replayed", id=case.id, photo_id=case.photo_id, stage=case.stage)
    return await app[keys.DEAD_LETTERS].close(case.id, entry)


async def _carry_out(app: web.Application, case: CaseFile) -> int | None:
    """Return the photo's run that goes on with the replay, if it is one of a photo."""
    while True:
        match decide(case, await photo_of(app, case), at=utc_now()):
            case RunAgain(photo, change):
                result = await app[keys.PHOTOS].apply(photo.id, photo.run, change)
                if not result.applied:  # somebody was quicker: decide anew about what stands now
                    continue
                send_on_its_way(app, result.photo)
                return result.photo.run
            case SendAgain(photo, message):
                await app[keys.PUBLISHER].work(message, traceparent=photo.traceparent)
                return photo.run
            case TellAgain(event):
                await app[keys.PUBLISHER].resend(
                    case.message.body,
                    key=case.stage,
                    # Another one than before: should it die again, that is another case.
                    message_id=f"{event.event_id}:{case.id}",
                    photo_id=case.photo_id,
                    headers=RepeatHeaders(
                        attempt=1, traceparent=trace_of(case.message.headers.get("traceparent"))
                    ).encode(),
                )
                return None


async def delete_dead_letter(request: web.Request) -> web.Response:
    """Discard one dead letter; what was done about it before stands."""
    case = await request.app[keys.DEAD_LETTERS].close(
        request.match_info["id"], CaseEntry(at=utc_now(), action=CaseState.DISCARDED)
    )
    log.info("dead_letter.discarded", id=case.id, photo_id=case.photo_id, stage=case.stage)
    await _take_out(request.app, [case])
    return json_response(file_document(case))


async def _take_out(app: web.Application, cases: Sequence[CaseFile]) -> None:
    """Take the messages of closed *cases* out of their queues, as far as that can be done now.

    One that stays there does no harm: its case is closed, and discarding it again tries again.
    """
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for case in cases:
        ids[case.stage].append(case.id)
    for stage, of_stage in ids.items():
        try:
            await app[keys.TAKE_OUT](stage, of_stage)
        except BrokerUnavailableError as error:
            log.warning("dead_letter.not_taken_out", stage=stage, error=error.message)
