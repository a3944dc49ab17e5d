"""Why a message was given up, as its dead letter's headers tell it."""

import traceback
from typing import Any, Final

from photo_pipeline import __version__
from photo_pipeline.domain.headers import DeadLetterHeaders
from photo_pipeline.domain.origin import origin_of
from photo_pipeline.domain.photo import StageError, utc_now

# All headers together must stay far below a frame (128 KiB), at up to 4 bytes a character.
_MESSAGE: Final = 2000
_TRACEBACK: Final = 4000  # characters of a traceback's end, where the cause stands


def dead_letter_headers(
    error: Exception,
    told: StageError,
    *,
    worker: str,
    traceparent: str,
    attempt: int | None = None,
    with_traceback: bool = True,
) -> dict[str, Any]:
    """Return the headers for a message that is given up for *error*, which is *told* outside.

    A traceback quotes the texts of all errors behind this one: not *with_traceback* where those
    may hold a secret. Type and frames say where it happened all the same.
    """
    origin = origin_of(error)
    text = "".join(traceback.format_exception(error))[-_TRACEBACK:] if with_traceback else None
    return DeadLetterHeaders(
        code=told.code,
        message=told.message[:_MESSAGE],
        type=origin.type,
        frames="\n".join(origin.frames),
        traceback=text,
        worker=worker,
        version=__version__,
        died_at=utc_now().isoformat(),
        traceparent=traceparent,
        attempt=attempt,
    ).encode()
