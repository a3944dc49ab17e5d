"""Sending one file: upload it, follow it, and say how that ended.

Every function returns a result rather than raising: one bad file must not stop the others.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from uuid import uuid4

from photo_pipeline.client.answers import (
    BusyError,
    RefusedError,
    UnexpectedAnswerError,
    UnreachableError,
)
from photo_pipeline.client.follow import follow
from photo_pipeline.client.patience import at_least_s, pause_s
from photo_pipeline.client.progress import Phase, Progress, Report
from photo_pipeline.client.result import Ending, SubmitResult, final_result
from photo_pipeline.client.service import Service
from photo_pipeline.domain.photo import PhotoError

UPLOAD_TRIES: Final = 12  # as many as for a stream: an upload may meet the same restart
LONGEST_RETRY_AFTER_S: Final = 300.0  # a service that is away for longer is told, not waited for


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An accepted upload."""

    photo_id: str
    seconds: float


async def upload(
    service: Service, file: Path, *, preset: str | None, report: Report
) -> Uploaded | SubmitResult:
    """Upload *file*, again while the service is busy or away; return why not, if not."""
    try:
        return await _upload_patiently(service, file, preset, report)
    except OSError as error:
        reason = error.strerror or str(error)
        return _ended(file, Ending.UNREADABLE, "unreadable_file", reason, report)
    except RefusedError as error:
        return _ended(file, Ending.REFUSED, error.problem_code, error.message, report)
    except UnexpectedAnswerError as error:
        return _ended(file, Ending.REFUSED, error.code, error.message, report)
    except UnreachableError as error:
        return _ended(file, Ending.UNREACHABLE, error.code, error.message, report)
    except Exception as error:  # noqa: BLE001  # one odd file must not stop the others
        reason = f"{type(error).__name__}: {error}"
        return _ended(file, Ending.UNREADABLE, "unexpected_error", reason, report)


async def _upload_patiently(
    service: Service, file: Path, preset: str | None, report: Report
) -> Uploaded:
    # One key over all tries, by which a service can tell a repeated upload whose answer was lost.
    key = uuid4().hex
    tries = 0
    while True:
        report(Progress(phase=Phase.UPLOADING))
        began = time.monotonic()
        trouble: UnreachableError | BusyError
        try:
            photo_id = await service.upload(file, preset=preset, idempotency_key=key)
        except BusyError as error:
            trouble, code, wait_s = error, error.problem_code, error.retry_after_s
        except UnreachableError as error:
            trouble, code, wait_s = error, error.code, None
        else:
            report(Progress(phase=Phase.ACCEPTED))
            return Uploaded(photo_id, time.monotonic() - began)
        tries += 1
        if wait_s is None:
            wait_s = pause_s(tries)
        if tries >= UPLOAD_TRIES or wait_s > LONGEST_RETRY_AFTER_S:
            raise trouble
        report(Progress(phase=Phase.BUSY, code=code))
        await asyncio.sleep(at_least_s(wait_s))


async def await_outcome(
    service: Service, file: Path, uploaded: Uploaded, report: Report
) -> SubmitResult:
    """Follow the photo to its outcome, or as far as the service tells."""
    began = time.monotonic()
    try:
        document = await follow(service, uploaded.photo_id, report)
    except RefusedError as error:
        gone = error.problem_code == "unknown_photo"
        ending = Ending.DELETED if gone else Ending.UNKNOWN
        result = _ended(file, ending, error.problem_code, error.message, report)
    except (UnexpectedAnswerError, UnreachableError) as error:
        result = _ended(file, Ending.UNKNOWN, error.code, error.message, report)
    else:
        waited_s = time.monotonic() - began
        return final_result(file, document, upload_s=uploaded.seconds, waited_s=waited_s)
    return replace(result, photo_id=uploaded.photo_id)


def given_up(file: Path, trouble: UnreachableError, report: Report | None = None) -> SubmitResult:
    """Return the result of a file that is not tried, because nobody would answer."""
    return _ended(file, Ending.UNREACHABLE, trouble.code, trouble.message, report)


def _ended(
    file: Path, ending: Ending, code: str, message: str, report: Report | None
) -> SubmitResult:
    if report is not None:
        report(Progress(phase=ending, code=code))
    return SubmitResult(file=file, status=ending, error=PhotoError(code=code, message=message))
