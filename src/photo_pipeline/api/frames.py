"""What the status stream sends, beside the events themselves."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from photo_pipeline.domain.document import StatusDocument
from photo_pipeline.domain.summary import PhotoSummary


class Snapshot(BaseModel):
    """The first frame of a stream: everything about the photo, as of this revision."""

    model_config = ConfigDict(frozen=True)

    type: Literal["snapshot"] = "snapshot"
    photo_id: str
    revision: int
    photo: StatusDocument


class SnapshotOfAll(BaseModel):
    """The first frame of a stream of all photos: the newest of them, as of this time."""

    model_config = ConfigDict(frozen=True)

    type: Literal["snapshot"] = "snapshot"
    at: datetime
    photos: list[PhotoSummary]
