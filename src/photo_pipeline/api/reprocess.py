"""``POST /photos/{id}/reprocess``: another run of a photo that has reached its end."""

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from photo_pipeline.api import keys
from photo_pipeline.api.body import read_body
from photo_pipeline.api.uploads import accepted, send_on_its_way
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.rerun import rerun
from photo_pipeline.errors import UnknownPresetError

log = structlog.get_logger()


class ReprocessBody(BaseModel):
    """What the run is to do: from which stage on, and by which preset (default: as before)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_stage: str | None = Field(None, max_length=100)
    preset: str | None = Field(None, max_length=100)


async def post_reprocess(request: web.Request) -> web.Response:
    """Begin another run; what its recipe does not change is not made again."""
    wanted = await read_body(request, ReprocessBody)
    app = request.app
    photo = await app[keys.PHOTOS].get(request.match_info["id"])
    applied = False
    while not applied:  # refused: somebody was quicker, so decide anew about what stands now
        change = rerun(
            photo,
            preset=app[keys.PLANS].usable(_preset(request, photo, wanted.preset)),
            pipeline=app[keys.PLANS].pipeline,
            from_stage=wanted.from_stage,
            at=utc_now(),
        )
        result = await app[keys.PHOTOS].apply(photo.id, photo.run, change)
        photo, applied = result.photo, result.applied
    log.info("photo.requeued", photo_id=photo.id, run=photo.run, preset=photo.preset.name)
    send_on_its_way(app, photo)
    return accepted(photo)


def _preset(request: web.Request, photo: Photo, name: str | None) -> Preset:
    presets = request.app[keys.PLANS].presets
    if name is not None:
        return presets.named(name)
    try:
        return presets.named(photo.preset.name)
    except UnknownPresetError:
        return photo.preset  # gone from the presets: the photo keeps its own
