"""Where presets come from: the package, and the operator's file."""

import base64
from pathlib import Path

import pytest

from photo_pipeline.domain.pipeline import PIPELINE
from photo_pipeline.domain.stage import ORIGINAL
from photo_pipeline.errors import SettingsError
from photo_pipeline.resources import read_plans
from photo_pipeline.settings import read_settings
from photo_pipeline.stages import load
from support.processes import SAMPLES

LOGO = SAMPLES / "fig-cutout-alpha.png"


def _plans(tmp_path: Path, text: str) -> dict[str, dict[str, object]]:
    path = tmp_path / "presets.toml"
    path.write_text(text, encoding="utf-8")
    plans = read_plans(read_settings({"PHOTO_PRESETS_FILE": str(path)}))
    return {preset.name: dict(preset.stages) for preset in plans.presets}


def test_what_ships_is_there_beside_the_operators_own(tmp_path: Path) -> None:
    shipped = {preset.name for preset in read_plans(read_settings({})).presets}
    assert {"default"} <= shipped
    assert set(_plans(tmp_path, "[own]\n")) == {"own"} | shipped


def test_the_operators_file_replaces_what_ships(tmp_path: Path) -> None:
    text = '[default]\nwatermark = { text = "Mine" }\n'
    watermark = _plans(tmp_path, text)["default"]["watermark"]
    assert isinstance(watermark, dict)
    assert watermark["text"] == "Mine"


def test_a_logo_is_read_from_a_file_beside_the_presets(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(LOGO.read_bytes())
    watermark = _plans(tmp_path, '[own.watermark]\nimage_file = "logo.png"\n')["own"]["watermark"]
    assert isinstance(watermark, dict)
    assert base64.b64decode(watermark["image"]) == LOGO.read_bytes()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[own\n", "line 1"),
        ("[own]\nresize = { sizes = [0] }\n", "own.resize.sizes"),
        ('[own.watermark]\nimage_file = "none.png"\n', "none.png"),
        ('[own.watermark]\nimage_file = "presets.toml"\n', "own.watermark"),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match="PHOTO_PRESETS_FILE") as caught:
        _plans(tmp_path, text)
    assert told in caught.value.message


@pytest.mark.parametrize("name", ["default", "web", "print-proof"])
@pytest.mark.parametrize("photo", ["coffee-gps.jpg", "fig-cutout-alpha.png"])
def test_what_ships_can_be_made_of_any_photo(name: str, photo: str) -> None:
    preset = read_plans(read_settings({})).presets.named(name)
    known = {ORIGINAL: (SAMPLES / photo).read_bytes()}
    for stage_name in PIPELINE:
        stage = load(stage_name)
        parameters = stage.parameters.model_validate(preset.stages[stage_name])
        inputs = {wanted: known[wanted] for wanted in stage.reads(parameters)}
        known |= {made.name: made.data for made in stage.transform(inputs, parameters).pictures}
    shown = set(known) - set(preset.withheld)
    if name == "print-proof":
        assert shown == {"proof-watermarked", "contact-watermarked"}
    else:
        assert ORIGINAL in shown
