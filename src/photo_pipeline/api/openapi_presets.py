"""``GET /presets`` in the OpenAPI document."""

from typing import Final

from photo_pipeline.api import openapi_parts as parts
from photo_pipeline.api.openapi_examples import PRESETS_OFFERED
from photo_pipeline.api.openapi_parts import answer, header
from photo_pipeline.api.presets import PresetsDocument

PRESETS: Final = parts.operation(
    parts.PHOTOS,
    "getPresets",
    "List the presets",
    "Answer what an upload may name as `preset`, each with all parameters of all stages. A photo "
    "keeps the preset that it was uploaded with, in the version that it had then.",
    {
        "200": answer(
            "The presets, by name.",
            {parts.JSON: parts.model(PresetsDocument, PRESETS_OFFERED)},
            {"Cache-Control": header("Keep it, but ask each time.", "no-cache")},
        )
    },
    (),
)
