"""Presets, checked against the registered stages."""

from typing import Any

import pytest

from photo_pipeline.domain.pipeline import PIPELINE
from photo_pipeline.domain.preset import Preset, Presets, make_presets
from photo_pipeline.errors import InvalidPresetError, UnknownPresetError
from photo_pipeline.stages import load


def _presets(tables: dict[str, Any]) -> Presets:
    return make_presets(tables, {name: load(name) for name in PIPELINE})


def test_the_default_preset_is_always_there_and_complete() -> None:
    default = _presets({}).named(None)
    assert default.name == "default"
    assert set(default.stages) == set(PIPELINE)
    assert default.stages["resize"]["sizes"] == [2048, 1280, 640, 320]


def test_an_unknown_preset_is_told_with_the_known_ones() -> None:
    with pytest.raises(UnknownPresetError, match="there are: default, web"):
        _presets({"web": {}}).named("print")


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"a": 3}, "a: must be a table"),
        ({"a": {"resize": 3}}, "a.resize"),
        ({"a": {"resise": {}}}, "a.resise: no such stage"),
        ({"a": {"resize": {"sizes": []}}}, "a.resize: sizes or renditions"),
        ({"a": {"resize": {"sizes": [0]}}}, "a.resize.sizes.0: "),
        ({"a": {"resize": {"renditions": [{"name": "x"}]}}}, "a.resize.renditions.0: either"),
        ({"a": {"resize": {"size": 1}}}, "a.resize.size"),
        ({"a": {"resize": {"sizes": [640]}}}, "reads rendition '2048'"),
        ({"a": {"watermark": {"opacity": 7}}}, "a.watermark.opacity"),
    ],
)
def test_faults_are_told_precisely(tables: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidPresetError) as caught:
        _presets(tables)
    assert told in str(caught.value)


def test_all_faults_are_told_and_none_that_only_follows() -> None:
    with pytest.raises(InvalidPresetError) as caught:
        _presets({"a": {"resize": {"quality": 0}}, "b": {"nothing": {}}})
    assert str(caught.value).count(";") == 1


@pytest.mark.parametrize("name", ["", "Web", "print proof", "-x", "é", "x" * 65])
def test_a_name_is_plain(name: str) -> None:
    with pytest.raises(InvalidPresetError, match="a name is"):
        _presets({name: {}})


@pytest.mark.parametrize("description", [3, "x" * 201])
def test_a_description_is_a_short_text(description: Any) -> None:
    with pytest.raises(InvalidPresetError, match=r"web\.description: a text"):
        _presets({"web": {"description": description}})
    assert _presets({"web": {"description": "For pages"}}).named("web").description == "For pages"


def test_the_version_follows_the_parameters_and_nothing_else() -> None:
    one = _presets({"a": {"resize": {"quality": 80}}, "b": {"description": "x"}})
    other = _presets({"a": {"resize": {"quality": 81}}, "b": {"description": "y"}})
    assert one.named("a").version != other.named("a").version
    assert one.named("b").version == other.named("b").version == one.named("default").version
    stored = Preset.model_validate(one.named("a").model_dump(mode="python"))
    assert stored.version == one.named("a").version


def test_a_preset_that_withholds_names_all_that_is_not_marked() -> None:
    watermark = {"renditions": ["640"], "unmarked": "withheld"}
    sized = {"resize": {"sizes": [640, 320]}, "detect": {"rendition": "320"}}
    found = _presets({"a": {**sized, "watermark": watermark}, "b": {}})
    assert found.named("a").withheld == ("original", "640", "320")
    assert found.named("a").withheld_stages == ("resize",)
    assert found.named("b").withheld == found.named("b").withheld_stages == ()
