"""Find the files of a model that an installed package carries, and verify them."""

import hashlib
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

NOT_INSTALLED: Final = "not installed"
FILE_MISSING: Final = "model file missing"
OTHER_HASH: Final = "model has another sha256"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why a model cannot be used, in a few words for the facts of a photo."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model in a package: its files, and the SHA-256 over them, one after the other."""

    distribution: str
    files: tuple[str, ...]
    sha256: str


def read_model(model: Model) -> tuple[bytes, ...] | Unavailable:
    """Return the bytes of each file of *model*, verified, or why there are none.

    What was hashed is what gets used: no second reading of a file that may change. The package
    is never imported, for that would run it and whatever it needs.
    """
    paths = _locate(model)
    if isinstance(paths, Unavailable):
        return paths
    try:
        data = tuple(path.read_bytes() for path in paths)
    except OSError:
        return Unavailable(FILE_MISSING)
    return data if _sha256(*data) == model.sha256 else Unavailable(OTHER_HASH)


def read_file(path: Path) -> tuple[bytes, str] | Unavailable:
    """Return bytes and SHA-256 of a model that the operator has chosen, or why it has none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Unavailable(f"{FILE_MISSING}: {error.strerror}")
    return data, _sha256(data)


def missing(model: Model) -> Unavailable | None:
    """Return why *model* cannot be used, as far as is known without reading it."""
    paths = _locate(model)
    if isinstance(paths, Unavailable):
        return paths
    return None if all(path.is_file() for path in paths) else Unavailable(FILE_MISSING)


def missing_runtime() -> Unavailable | None:
    """Return why no model at all can be used, or None."""
    try:
        found = find_spec("onnxruntime")
    except (ImportError, ValueError):  # an import hook, or a module that is half there
        found = None
    return None if found else Unavailable(NOT_INSTALLED)


def _locate(model: Model) -> tuple[Path, ...] | Unavailable:
    if absent := missing_runtime():
        return absent
    try:
        distribution = metadata.distribution(model.distribution)
    except metadata.PackageNotFoundError:
        return Unavailable(NOT_INSTALLED)
    listed = {file.name: file for file in distribution.files or ()}
    if not set(model.files) <= set(listed):
        return Unavailable(FILE_MISSING)
    return tuple(Path(str(distribution.locate_file(listed[name]))) for name in model.files)


def _sha256(*data: bytes) -> str:
    digest = hashlib.sha256()
    for part in data:
        digest.update(part)
    return digest.hexdigest()
