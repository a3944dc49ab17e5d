"""``GET /photos/{id}/duplicates``: the same upload again, and pictures that look alike."""

from datetime import datetime
from typing import Final

from aiohttp import hdrs, web
from pydantic import BaseModel, Field

from photo_pipeline.api import keys
from photo_pipeline.api.problems import json_response
from photo_pipeline.domain.document import LinksDocument, links
from photo_pipeline.domain.findings import Findings
from photo_pipeline.domain.likeness import hamming
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import PhotoDeletedError

MOST: Final = 100
"""Of each kind; who has more of the same wants to know that, and not where they all are."""


class Duplicate(BaseModel):
    """Another photo."""

    id: str
    filename: str
    created_at: datetime
    links: LinksDocument


class NearDuplicate(Duplicate):
    """Another photo that looks alike; ``distance`` in bits of the perceptual hash."""

    distance: int


class Duplicates(BaseModel):
    """The photos that are like one, at this moment."""

    id: str
    exact: list[Duplicate] = Field(description="The same bytes were uploaded; newest first.")
    near: list[NearDuplicate] | None = Field(
        description="Other bytes that look alike, the nearest first; null while it is not known."
    )


async def get_duplicates(request: web.Request) -> web.Response:
    """Answer which other photos are the same as, or look like, one."""
    photos = request.app[keys.PHOTOS]
    photo = await photos.get(request.match_info["id"])
    if photo.status is PhotoStatus.DELETED:
        raise PhotoDeletedError(f"photo {photo.id} was deleted")
    exact = await photos.same_upload(photo, MOST)
    found = photo.found
    near = [] if found is None else await photos.alike(photo, MOST)
    answer = Duplicates(
        id=photo.id,
        exact=[Duplicate(**_told(other)) for other in exact],
        near=None if found is None or found.hash is None else [_near(n, found) for n in near],
    )
    return json_response(answer, headers={hdrs.CACHE_CONTROL: "no-cache"})


def _near(other: Photo, mine: Findings) -> NearDuplicate:
    theirs = other.found.hash if other.found else None
    return NearDuplicate(**_told(other), distance=hamming(theirs or "0", mine.hash or "0"))


def _told(photo: Photo) -> dict[str, object]:
    return {
        "id": photo.id,
        "filename": photo.filename,
        "created_at": photo.created_at,
        "links": links(photo),
    }
