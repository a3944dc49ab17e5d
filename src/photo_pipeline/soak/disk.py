"""What lies in the photo storage, held against the status documents."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.storage.blobs import original_key
from photo_pipeline.storage.files import TEMPORARY

_ENDED: Final = (PhotoStatus.DONE, PhotoStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Disk:
    """Where bytes and documents differ; files by their keys.

    ``damaged`` tells for each photo what is missing or wrong. ``unnamed`` files no document
    names. ``unanswered`` are originals of uploads that were cut before they were answered, and
    ``temporary`` what a killed process had just been writing: both are nobody's.
    """

    damaged: Mapping[str, Sequence[str]]
    unnamed: Sequence[str]
    unanswered: Sequence[str]
    temporary: int


def look(root: Path, photos: Mapping[str, Photo], uploads: Mapping[str, str]) -> Disk:
    """Read every file below *root*; *uploads* has the checksum of what was sent, by photo id."""
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    damaged: dict[str, list[str]] = defaultdict(list)
    named: set[str] = set()
    for photo in photos.values():
        expected = dict(_expected(photo))
        named.update(expected)
        if uploads.get(photo.id, photo.sha256) != photo.sha256:
            damaged[photo.id].append("the document tells another checksum than the upload's")
        for key, checksum in expected.items():
            if key not in found:
                damaged[photo.id].append(f"{key} is missing")
            elif _sha256(root / key) != checksum:
                damaged[photo.id].append(f"{key} is damaged")
    kinds: dict[_Kind, list[str]] = defaultdict(list)
    for key in sorted(found - named):
        kinds[_kind(key, photos, uploads)].append(key)
    return Disk(damaged, kinds[_Kind.UNNAMED], kinds[_Kind.UNANSWERED], len(kinds[_Kind.TEMPORARY]))


class _Kind(Enum):
    """What a file is that no document names."""

    TEMPORARY = auto()
    UNANSWERED = auto()
    AT_WORK = auto()
    UNNAMED = auto()


def _kind(key: str, photos: Mapping[str, Photo], uploads: Mapping[str, str]) -> _Kind:
    first, *rest = Path(key).parts
    photo_id = rest[1] if len(rest) > 1 else ""
    if first == TEMPORARY:
        return _Kind.TEMPORARY
    if (owner := photos.get(photo_id)) is not None:
        # A stage at work stores first and records then.
        return _Kind.UNNAMED if owner.status in _ENDED else _Kind.AT_WORK
    if photo_id not in uploads and key == original_key(photo_id, Path(key).name):
        return _Kind.UNANSWERED
    return _Kind.UNNAMED


def _expected(photo: Photo) -> Iterator[tuple[str, str]]:
    """Yield the key of each file that *photo* names, with its SHA-256."""
    yield photo.original, photo.sha256
    for rendition in photo.renditions:
        yield rendition.key, rendition.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
