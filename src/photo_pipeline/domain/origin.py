"""Where an error comes from, and the fingerprint under which its like are found."""

import hashlib
import json
from collections.abc import Iterator
from traceback import walk_tb
from typing import Final

from photo_pipeline.errors import Origin, PhotoPipelineError

_PACKAGE: Final = __name__.partition(".")[0]
_MACHINERY: Final = "worker."
_FRAMES: Final = 40  # deeper is only recursion, whose depth would tell one fault from itself
_CHARACTERS: Final = 120  # of a name: enough for any of ours
_FINGERPRINT_CHARACTERS: Final = 16  # 64 bits: kinds of faults are counted in dozens


def origin_of(error: BaseException) -> Origin:
    """Return where *error* was raised: here, or in the child process that told of it.

    A frame is ``module.function`` of this package: without the line number, which every edit
    moves, and without frames of libraries, which every update of them moves. The machinery that
    every photo goes through tells nothing, unless it is all there is.
    """
    if isinstance(error, PhotoPipelineError) and error.origin is not None:
        return error.origin
    frames = tuple(_frames(error))
    telling = tuple(frame for frame in frames if not frame.startswith(_MACHINERY))
    return bounded(Origin(type(error).__name__, telling or frames[-1:]))


def _frames(error: BaseException) -> Iterator[str]:
    """Yield our frames, those of the cause behind it last."""
    for frame, _ in walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] == _PACKAGE:
            yield f"{module.removeprefix(f'{_PACKAGE}.')}.{frame.f_code.co_name}"
    if error.__cause__ is not None:
        yield from origin_of(error.__cause__).frames


def bounded(origin: Origin) -> Origin:
    """Return *origin* within bounds: it may come from a process that has touched foreign bytes."""
    frames = (str(frame)[:_CHARACTERS] for frame in origin.frames[-_FRAMES:])
    return Origin(str(origin.type)[:_CHARACTERS], tuple(frames))


def fingerprint(stage: str, code: str, origin: Origin) -> str:
    """Return what all failures of one kind have in common, as 16 hex digits.

    That is where they failed, with which code, and which error was raised where in our code:
    nothing of the photo, the worker, the time or the error's text.
    """
    kind = json.dumps([stage, code, origin.type, origin.frames], separators=(",", ":"))
    return hashlib.sha256(kind.encode()).hexdigest()[:_FINGERPRINT_CHARACTERS]
