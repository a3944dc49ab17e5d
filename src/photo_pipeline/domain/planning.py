"""Which pictures a photo will have, known from its preset before any is made."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from photo_pipeline.domain.moderation import Gate
from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.preset import Preset, Presets
from photo_pipeline.domain.stage import Stage
from photo_pipeline.errors import DetectionUnavailableError


class Plans:
    """The presets of a service together with the stages that carry them out."""

    def __init__(self, presets: Presets, stages: Mapping[str, Stage[Any]]) -> None:
        self.presets = presets
        self._stages = stages

    @property
    def pipeline(self) -> tuple[str, ...]:
        """The stages that a new photo goes through, in order."""
        return tuple(self._stages)

    def usable(self, preset: Preset) -> Preset:
        """Return *preset* or raise DetectionUnavailableError: its gate could never open."""
        if preset.gate is Gate.OFF:
            return preset
        for name, stage in self._stages.items():
            judge = stage.judge(stage.parameters.model_validate(preset.stages.get(name, {})))
            if judge is not None and (reason := stage.missing().get(judge)) is not None:
                raise DetectionUnavailableError(
                    f"preset {preset.name!r} has a gate, and nothing can look: {judge}: {reason}"
                )
        return preset

    def renditions(self, photo: Photo) -> Iterator[str]:
        """Yield the name of every rendition that *photo* will have when it is done."""
        for name in photo.pipeline:
            stage = self._stages.get(name)
            if stage is not None:
                # Parameters of a version that knew others: nothing is known of what will be.
                with suppress(ValidationError):
                    given = photo.preset.stages.get(name, {})
                    yield from stage.writes(stage.parameters.model_validate(given))
