"""Presets, checked against the registered stages."""

from typing import Any

import pytest

from photo_pipeline.domain.pipeline import PIPELINE
from photo_pipeline.domain.preset import Presets, make_presets
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
        ({"a": {"resize": {"sizes": []}}}, "a.resize.sizes"),
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


def test_a_preset_that_withholds_names_all_that_is_not_marked() -> None:
    watermark = {"renditions": ["640"], "unmarked": "withheld"}
    sized = {"resize": {"sizes": [640, 320]}, "detect": {"rendition": "320"}}
    found = _presets({"a": {**sized, "watermark": watermark}, "b": {}})
    assert found.named("a").withheld == ("original", "640", "320")
    assert found.named("a").withheld_stages == ("resize",)
    assert found.named("b").withheld == found.named("b").withheld_stages == ()
