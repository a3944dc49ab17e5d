"""Presets: named sets of stage parameters.

A photo keeps, in full, the preset it was uploaded with: editing a preset never changes a
photo in flight.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_jsonable_python

from photo_pipeline.domain.moderation import Gate
from photo_pipeline.domain.stage import ORIGINAL, Stage
from photo_pipeline.errors import InvalidPresetError, UnknownPresetError

DEFAULT_PRESET: Final = "default"

NAME: Final = re.compile("[a-z0-9][a-z0-9_-]{0,63}")
"""A form field, a word on the command line and a label of a metric: plain everywhere."""
DESCRIPTION: Final = "description"
GATE: Final = "gate"
MAX_DESCRIPTION: Final = 200
"""A line or two: each photo carries it along."""

_VERSION_CHARACTERS: Final = 12  # 48 bits: only the few versions of one preset are told apart


class Preset(BaseModel):
    """The complete parameters of every stage, as JSON values keyed by stage name.

    ``withheld`` names the pictures, the original or renditions, that must not be served, and
    ``withheld_stages`` the stages none of whose pictures may: those that an earlier run left
    behind have other names.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    description: str = ""
    stages: Mapping[str, Mapping[str, Any]]
    withheld: tuple[str, ...] = ()
    withheld_stages: tuple[str, ...] = ()
    gate: Gate = Gate.OFF

    @property
    def version(self) -> str:
        """Return what tells this preset from another one that had, or will have, its name."""
        told = {**self.stages, GATE: self.gate} if self.gate is not Gate.OFF else self.stages
        parameters = json.dumps(to_jsonable_python(told), sort_keys=True)
        return hashlib.sha256(parameters.encode()).hexdigest()[:_VERSION_CHARACTERS]


class Presets:
    """All presets of a service, each checked against the registered stages."""

    def __init__(self, presets: Mapping[str, Preset]) -> None:
        self._presets = dict(presets)

    def __iter__(self) -> Iterator[Preset]:
        return iter(self._presets.values())

    def named(self, name: str | None) -> Preset:
        """Return the preset called *name* (None: the default one) or raise UnknownPresetError."""
        try:
            return self._presets[name or DEFAULT_PRESET]
        except KeyError:
            known = ", ".join(sorted(self._presets))
            raise UnknownPresetError(f"no preset {name!r}; there are: {known}") from None


def make_presets(tables: Mapping[str, Any], stages: Mapping[str, Stage[Any]]) -> Presets:
    """Build presets from *tables* (preset name → stage name → parameters).

    *stages* are the registered ones in pipeline order. The preset ``default`` always exists.
    All faults of all presets are reported in one InvalidPresetError.
    """
    faults: list[str] = []
    presets: dict[str, Preset] = {}
    for name, table in {DEFAULT_PRESET: {}, **tables}.items():
        if not isinstance(table, Mapping):
            faults.append(f"{name}: must be a table of stages")
            continue
        if not NAME.fullmatch(name):
            faults.append(f"{name!r}: a name is lower case letters, digits, - and _")
        known = {DESCRIPTION, GATE, *stages}
        faults += [f"{name}.{other}: no such stage" for other in table if other not in known]
        preset, found = _make_preset(name, table, stages)
        faults += found
        if preset is not None:
            presets[name] = preset
    if faults:
        raise InvalidPresetError("; ".join(faults))
    return Presets(presets)


def _make_preset(
    name: str, table: Mapping[str, Any], stages: Mapping[str, Stage[Any]]
) -> tuple[Preset | None, list[str]]:
    faults: list[str] = []
    description = table.get(DESCRIPTION, "")
    if not isinstance(description, str) or len(description) > MAX_DESCRIPTION:
        faults.append(f"{name}.{DESCRIPTION}: a text of at most {MAX_DESCRIPTION} characters")
    gate = table.get(GATE, Gate.OFF)
    if gate not in list(Gate):
        faults.append(f"{name}.{GATE}: one of {', '.join(Gate)}")
    judges: list[str] = []
    complete: dict[str, Any] = {}
    readable = [ORIGINAL]
    withheld: dict[str, None] = {}
    withheld_stages: tuple[str, ...] = ()
    for stage_name, stage in stages.items():
        try:
            parameters = stage.parameters.model_validate(table.get(stage_name, {}))
        except ValidationError as error:
            faults += [
                f"{'.'.join((name, stage_name, *map(str, e['loc'])))}: "
                f"{e['msg'].removeprefix('Value error, ')}"
                for e in error.errors(include_url=False)
            ]
            # What the later stages read hangs on this one: no faults that only follow from it.
            break
        faults += [
            f"{name}.{stage_name}: reads rendition {wanted!r}, which no earlier stage makes"
            for wanted in stage.reads(parameters)
            if wanted not in readable
        ]
        hidden = stage.withholds(parameters, tuple(readable))
        withheld |= dict.fromkeys(hidden)
        if set(hidden) >= set(readable):
            withheld_stages = tuple(complete)
        made = stage.writes(parameters)
        faults += [
            f"{name}.{stage_name}: makes rendition {again!r}, which an earlier stage makes"
            for again in made
            if again in readable
        ]
        readable += made
        complete[stage_name] = parameters.model_dump(mode="json")
        if (judge := stage.judge(parameters)) is not None:
            judges.append(judge)
    else:
        if gate != Gate.OFF and not judges:
            faults.append(f"{name}.{GATE}: no stage looks for what a gate is to stop")
    if faults:
        return None, faults
    preset = Preset(
        name=name,
        description=description,
        stages=complete,
        withheld=tuple(withheld),
        withheld_stages=withheld_stages,
        gate=Gate(gate),
    )
    return preset, []
