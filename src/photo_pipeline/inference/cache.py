"""Keep what was converted, for the next process.

Below ``$XDG_CACHE_HOME`` (``~/.cache``), as the XDG Base Directory Specification has it. Every
fault of the disk means one conversion more, and nothing else.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

FOLDER: Final = "photo-pipeline"
PRIVATE: Final = 0o700


def cached(name: str, sha256: str, make: Callable[[], bytes]) -> bytes:
    """Return what *make* would return: from the cache if it is there and has that *sha256*.

    The content is verified whoever wrote it: a cache may be shared, or damaged. Any number of
    processes may do this at once: each writes a file of its own and renames it, whole and on
    the disk, into the place of what is there.
    """
    place = folder()
    if place is None:
        return make()
    path = place / f"{sha256[:16]}-{name}"
    with suppress(OSError):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
    data = make()
    if hashlib.sha256(data).hexdigest() == sha256:  # else it would never be taken from there
        with suppress(OSError):
            _write(path, data)
    return data


def folder() -> Path | None:
    """Return the folder of the cache, which need not exist; None for a user without a home."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():  # the specification has any other ignored
        return base / FOLDER
    try:
        return Path.home() / ".cache" / FOLDER
    except RuntimeError:
        return None


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
