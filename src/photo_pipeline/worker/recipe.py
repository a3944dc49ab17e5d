"""The recipe hash: outputs are stored under what they are made from and how.

Redelivery, two racing workers and a replay all write the same bytes to the same key.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.stage import ORIGINAL, Stage
from photo_pipeline.errors import MissingBlobError

_HASH_CHARACTERS: Final = 32  # 128 bits: no accidental collision, and a path people can read


def source(photo: Photo, name: str) -> tuple[str, str]:
    """Return key and SHA-256 of what a stage reads under *name*."""
    if name == ORIGINAL:
        return photo.original, photo.sha256
    rendition = photo.rendition(name)
    if rendition is None:
        raise MissingBlobError(f"rendition {name!r} was not made by an earlier stage")
    return rendition.key, rendition.sha256


def recipe_hash(
    photo: Photo, stage_name: str, stage: Stage[Any], parameters: Mapping[str, Any]
) -> str:
    """Return the hash over input bytes, stage, stage version, parameters and ingredients."""
    typed = stage.parameters.model_validate(parameters)
    recipe = {
        "inputs": {name: source(photo, name)[1] for name in stage.reads(typed)},
        "stage": stage_name,
        "version": stage.version,
        "parameters": dict(parameters),
    }
    if ingredients := stage.ingredients(typed):  # without any, the hash of earlier versions
        recipe["ingredients"] = dict(ingredients)
    canonical = json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(canonical).hexdigest()[:_HASH_CHARACTERS]
