"""``GET /presets``: what an upload may ask for."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import hdrs, web
from pydantic import BaseModel, Field

from photo_pipeline.api import keys
from photo_pipeline.api.problems import json_response
from photo_pipeline.domain.moderation import Gate
from photo_pipeline.domain.preset import DEFAULT_PRESET, Preset

SHORT: Final = 200
"""Characters from which a text is no setting to read but data: a logo in base64."""


class PresetDocument(BaseModel):
    """A preset, complete with its defaults."""

    name: str
    version: str = Field(description="Tells this preset from another that had its name.")
    description: str
    default: bool = Field(description="Whether it is what an upload gets that names none.")
    stages: Mapping[str, Mapping[str, Any]] = Field(
        description="The parameters of each stage; a logo is left out."
    )
    gate: Gate = Field(description="What happens to photos that detection doubts.")
    withheld: tuple[str, ...] = Field(description="Pictures that are made but not served.")


class PresetsDocument(BaseModel):
    """Every preset, by name."""

    presets: list[PresetDocument]


async def get_presets(request: web.Request) -> web.Response:
    """Answer every preset with all its parameters."""
    presets = sorted(request.app[keys.PLANS].presets, key=lambda preset: preset.name)
    answer = PresetsDocument(presets=[_document(preset) for preset in presets])
    return json_response(answer, headers={hdrs.CACHE_CONTROL: "no-cache"})


def _document(preset: Preset) -> PresetDocument:
    return PresetDocument(
        name=preset.name,
        version=preset.version,
        description=preset.description,
        default=preset.name == DEFAULT_PRESET,
        stages={name: _readable(parameters) for name, parameters in preset.stages.items()},
        gate=preset.gate,
        withheld=preset.withheld,
    )


def _readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(item) for item in value]
    if isinstance(value, str) and len(value) > SHORT:
        return f"({len(value)} characters)"
    return value
