"""A store full of finished photos, made by the stages themselves without a queue."""

import hashlib
import io
from collections.abc import Mapping
from random import Random
from typing import Any

from PIL import Image

from photo_pipeline.domain.formats import FORMATS
from photo_pipeline.domain.photo import Photo, Rendition, StageSlot
from photo_pipeline.domain.pipeline import PIPELINE
from photo_pipeline.domain.preset import Preset
from photo_pipeline.domain.stage import ORIGINAL, Picture
from photo_pipeline.domain.status import PhotoStatus, StageStatus
from photo_pipeline.stages import load
from photo_pipeline.storage.blobs import Blobs, rendition_key
from photo_pipeline.storage.photos import Photos
from photo_pipeline.worker.recipe import recipe_hash
from support.pipeline import make_photo

PRESET: Mapping[str, Mapping[str, Any]] = {
    "resize": {"sizes": [160, 80]},
    "watermark": {"renditions": ["160"]},
    "detect": {"rendition": "80"},
}
RENDITIONS = 3  # of each photo
COPYRIGHT = "(c) Example"


def small_photo(chance: Random) -> bytes:
    """Return a JPEG of colours that differ from photo to photo, with a copyright and a place."""
    spots = Image.frombytes("RGB", (6, 4), chance.randbytes(72))
    exif = Image.Exif()
    exif[0x8298] = COPYRIGHT
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0)})
    out = io.BytesIO()
    spots.resize((240, 160), Image.Resampling.BICUBIC).save(out, "JPEG", exif=exif)
    return out.getvalue()


async def finished_photo(photos: Photos, blobs: Blobs, data: bytes) -> Photo:
    """Keep a photo that has gone through all stages by PRESET, as their consumers would."""
    photo = make_photo(
        PIPELINE,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        preset=Preset(name="small", stages=PRESET),
    )
    await blobs.write(photo.original, data)
    known = {ORIGINAL: data}
    for name in PIPELINE:
        stage = load(name)
        parameters = stage.parameters.model_validate(PRESET[name])
        recipe = recipe_hash(photo, name, stage, parameters.model_dump(mode="json"))
        output = stage.transform({n: known[n] for n in stage.reads(parameters)}, parameters)
        made = [_rendition(photo, name, recipe, picture) for picture in output.pictures]
        for rendition, picture in zip(made, output.pictures, strict=True):
            await blobs.write(rendition.key, picture.data)
            known[picture.name] = picture.data
        slot = StageSlot(
            status=StageStatus.DONE, recipe=recipe, renditions=tuple(made), facts=output.facts
        )
        photo = photo.model_copy(update={"stages": {**photo.stages, name: slot}})
    photo = photo.model_copy(update={"status": PhotoStatus.DONE})
    assert await photos.insert(photo)
    return photo


def _rendition(photo: Photo, stage: str, recipe: str, picture: Picture) -> Rendition:
    format_ = FORMATS[picture.format]
    return Rendition(
        name=picture.name,
        stage=stage,
        width=picture.width,
        height=picture.height,
        format=picture.format,
        content_type=format_.content_type,
        bytes=len(picture.data),
        sha256=hashlib.sha256(picture.data).hexdigest(),
        key=rendition_key(photo.id, recipe, picture.name, format_.extension),
        receipt=picture.receipt,
    )


async def replaced(photos: Photos, blobs: Blobs, photo: Photo, name: str, data: bytes) -> None:
    """Put other bytes in the place of a rendition, and into the document as if they were right."""
    rendition = photo.rendition(name)
    assert rendition is not None
    await blobs.delete(rendition.key)
    await blobs.write(rendition.key, data)
    sha256 = hashlib.sha256(data).hexdigest()
    changed = rendition.model_copy(update={"bytes": len(data), "sha256": sha256})
    slot = photo.stages[rendition.stage]
    renditions = tuple(changed if r.name == name else r for r in slot.renditions)
    slot = slot.model_copy(update={"renditions": renditions})
    stages = {**photo.stages, rendition.stage: slot}
    if rendition.stage == "resize":
        # What was made of it has a recipe with its bytes in it: that of the bytes now there.
        stages = {n: _as_of_now(photo, stages, n) for n in stages}
    await photos.remove(photo.id)
    assert await photos.insert(photo.model_copy(update={"stages": stages}))


def _as_of_now(photo: Photo, stages: Mapping[str, StageSlot], name: str) -> StageSlot:
    now = photo.model_copy(update={"stages": stages})
    stage = load(name)
    parameters = stage.parameters.model_validate(PRESET[name]).model_dump(mode="json")
    return stages[name].model_copy(update={"recipe": recipe_hash(now, name, stage, parameters)})
