"""The README tells the same story as the code."""

import re
import tomllib

from photo_pipeline.domain.pipeline import PIPELINE
from photo_pipeline.domain.preset import make_presets
from photo_pipeline.roles import GROUPS, ROLES
from photo_pipeline.settings import SECTIONS, read_settings
from photo_pipeline.stages import load
from support.processes import ROOT

README = (ROOT / "README.md").read_text()


def _settings_table() -> dict[str, str]:
    return dict(re.findall(r"^\| `PHOTO_(\w+)` \| (.*?) \|", README, flags=re.MULTILINE))


def test_every_setting_is_in_the_table_and_no_other() -> None:
    fields = {name.upper() for section in SECTIONS.values() for name in section.model_fields}
    assert set(_settings_table()) == fields


def test_the_table_tells_the_real_defaults() -> None:
    settings = read_settings({})
    for name, section in SECTIONS.items():
        for field in section.model_fields:
            told = _settings_table()[field.upper()]
            if not (literal := re.fullmatch(r"`([^`]*)`", told)):
                continue  # a default in words
            value = getattr(getattr(settings, name), field)
            text = ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else value
            shown = f"{text:g}" if isinstance(text, float) else str(text)
            assert literal[1] == shown, field


def test_every_role_is_named() -> None:
    for name in (*ROLES, *GROUPS):
        assert f"`{name}`" in README, name


def test_the_example_of_a_preset_is_one() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    stages = {name: load(name) for name in PIPELINE}
    preset = make_presets(tomllib.loads(example), stages).named("shop")
    assert list(preset.stages["resize"]["sizes"]) == [2048, 640]


def test_the_named_tests_exist() -> None:
    for path in set(re.findall(r"`(tests/[\w/.]+)`", README)):
        assert (ROOT / path).exists(), path
