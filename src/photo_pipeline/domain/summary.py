"""A photo in a list: what a gallery or an operator needs of each, without its history."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from photo_pipeline.domain.document import (
    LinksDocument,
    RenditionDocument,
    links,
    placeholder,
    rendition_documents,
)
from photo_pipeline.domain.moderation import Moderation
from photo_pipeline.domain.photo import Photo, PhotoError
from photo_pipeline.domain.status import PhotoStatus


class PhotoSummary(BaseModel):
    """The status document without stages and timeline; ``stage`` is where the photo stands."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: PhotoStatus
    revision: int
    stage: str | None
    filename: str
    content_type: str
    bytes: int
    width: int
    height: int
    preset: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    renditions: list[RenditionDocument]
    placeholder: str | None
    moderation: Moderation | None
    error: PhotoError | None
    links: LinksDocument


def summary(photo: Photo) -> PhotoSummary:
    """Return the summary of *photo*."""
    return PhotoSummary(
        **photo.model_dump(
            include={
                *("id", "status", "revision", "filename", "content_type", "bytes"),
                *("width", "height", "created_at", "updated_at", "finished_at", "error"),
                "moderation",
            }
        ),
        stage=photo.position.stage if photo.position else None,
        preset=photo.preset.name,
        renditions=rendition_documents(photo),
        placeholder=placeholder(photo),
        links=links(photo),
    )
