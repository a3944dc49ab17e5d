"""What the status stream sends, beside the events themselves."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from photo_pipeline.domain.document import StatusDocument


class Snapshot(BaseModel):
    """The first frame of a stream: everything about the photo, as of this revision."""

    model_config = ConfigDict(frozen=True)

    type: Literal["snapshot"] = "snapshot"
    photo_id: str
    revision: int
    photo: StatusDocument
