"""Objects: every layout that is documented, and what is said of a model that has none of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photo_pipeline.detectors.detector import once
from photo_pipeline.detectors.objects import OBJECTS, ObjectSight, look, open_objects
from photo_pipeline.detectors.registry import look as look_with
from photo_pipeline.errors import SettingsError
from photo_pipeline.inference.layouts import recognise
from photo_pipeline.inference.model import Unavailable
from photo_pipeline.settings import read_settings
from support import onnx_files
from support.onnx_files import BOX, CLASSES, LAYOUTS, SIDE, always

WIDE = Image.new("RGB", (128, 64), (200, 100, 50))
LEVEL = {"score": 0.5}


def sight(path: Path, model: bytes, labels: Path | None = None) -> ObjectSight:
    path.write_bytes(model)
    loaded = open_objects(path, labels)
    assert not isinstance(loaded, Unavailable), loaded.reason
    return loaded.sight


def refusal(path: Path, model: bytes, labels: Path | None = None) -> str:
    path.write_bytes(model)
    loaded = once(lambda: open_objects(path, labels))()
    assert isinstance(loaded, Unavailable)
    return loaded.reason


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_recognised_and_decoded(layout: str, tmp_path: Path) -> None:
    name, outputs = LAYOUTS[layout]
    opened = sight(tmp_path / "m.onnx", always(*outputs))
    assert opened.layout.name == name
    # The square has 16 px above and below the picture; what lies there is cut off.
    left, top, right, _ = BOX
    box = [left / SIDE, (top - 16) / 32, (right - left) / SIDE, 1 - (top - 16) / 32]
    (found,) = look(opened, WIDE, LEVEL)["objects"]
    assert found == {"label": "bee", "score": 0.75, "box": pytest.approx(box, abs=1e-3)}
    assert look(opened, WIDE, {"score": 0.8}) == {"objects": []}


def test_real_sizes_are_told_apart() -> None:
    """Shapes that published models have, at their input sizes, with the 80 classes of COCO."""
    coco = 80
    known = {
        "yolov8": (((1, 84, 8400),), 640),
        "yolov5": (((1, 25_200, 85),), 640),
        "yolox": (((1, 3549, 85),), 416),
        "yolov10": (((1, 300, 6),), 640),
        "nanodet+": (((1, 3598, 112),), 416),
        "nanodet": (tuple((1, n * n, width) for n in (52, 26, 13) for width in (80, 44)), 416),
    }
    for name, (shapes, side) in known.items():
        layout = recognise(shapes, coco, side)
        assert layout is not None, name
        assert layout.name == name


@pytest.mark.parametrize(
    ("shapes", "classes"),
    [
        ([(1, 1000)], 80),  # a classifier
        ([(1, 84, 8400)], 20),  # of other classes
        ([(1, 25_200, 84)], 80),
        ([(1, 3, 80, 80, 85)], 80),
        ([(2, 84, 8400)], 80),
        ([(1, 5000, 6)], 80),
        ([(1, 1600, 80)] * 6, 80),
        ([], 80),
    ],
)
def test_other_layouts_are_refused(shapes: list[tuple[int, ...]], classes: int) -> None:
    assert recognise(shapes, classes, 640) is None


def test_the_refusal_says_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    assert refusal(path, always(np.zeros((1, 1000), np.float32))) == (
        "unknown layout of the object model: outputs [[1, 1000]] for 3 classes at 64 pixels"
    )
    assert "takes tensor(float) [1, 7]" in refusal(
        path, always(np.zeros((1, 10, 6), np.float32), shape=(1, 7))
    )
    assert refusal(path, b"no model").startswith("the model cannot be loaded: ")
    gone = open_objects(tmp_path / "gone.onnx", None)
    assert gone == Unavailable("model file missing: No such file or directory")


def test_names_come_from_the_file_then_the_model_then_coco(tmp_path: Path) -> None:
    path, labels = tmp_path / "m.onnx", tmp_path / "labels.txt"
    labels.write_text("apple\nbanana\n\ncherry\n")
    model = always(*onnx_files.yolov10())
    assert sight(path, model).names == CLASSES
    assert sight(path, model, labels).names == ("apple", "banana", "cherry")
    coco = sight(path, always(*onnx_files.yolov10(), metadata={})).names
    assert (len(coco), coco[0], coco[79]) == (80, "person", "toothbrush")
    listed = always(*onnx_files.yolov10(), metadata={"names": "['one', 'two']"})
    assert sight(path, listed).names == ("one", "two")
    assert "No such file" in refusal(path, model, tmp_path / "no-labels.txt")


def test_pixels_may_come_first_or_last_and_in_any_size(tmp_path: Path) -> None:
    rows = sight(tmp_path / "m.onnx", always(*onnx_files.yolov10(), shape=(1, SIDE, SIDE, 3)))
    assert rows.rows_first
    assert len(look(rows, WIDE, LEVEL)["objects"]) == 1
    free = sight(
        tmp_path / "m.onnx", always(*onnx_files.yolov10(), shape=("n", 3, "height", "width"))
    )
    assert (free.rows_first, free.side) == (False, 640)


@pytest.mark.parametrize(
    ("layout", "pixel"),
    [
        ("yolov8", [1, 0.5, 0]),
        ("yolov5", [1, 0.5, 0]),
        ("yolov10", [1, 0.5, 0]),
        ("yolox", [0, 127.5, 255]),
        ("nanodet", [-103.53 / 57.375, (127.5 - 116.28) / 57.12, (255 - 123.675) / 58.395]),
        ("nanodet+", [-103.53 / 57.375, (127.5 - 116.28) / 57.12, (255 - 123.675) / 58.395]),
    ],
)
def test_each_layout_is_fed_as_it_was_trained(
    layout: str, pixel: list[float], tmp_path: Path
) -> None:
    feed = sight(tmp_path / "m.onnx", always(*LAYOUTS[layout][1])).layout.feed
    found = feed(np.array([[[255, 127.5, 0]]], np.float32))
    assert np.allclose(found[0, 0], pixel, atol=1e-5)


def test_boxes_of_one_class_are_merged_and_of_two_are_not(tmp_path: Path) -> None:
    out = onnx_files.yolov10()[0]
    out[0, 3] = [21, 21, 53, 53, 0.6, 1]  # the same bee again
    out[0, 4] = [21, 21, 53, 53, 0.7, 0]  # an ant in the same place
    found = look(sight(tmp_path / "m.onnx", always(out)), WIDE, LEVEL)["objects"]
    assert [(each["label"], each["score"]) for each in found] == [("bee", 0.75), ("ant", 0.7)]


def test_the_report_has_the_hash_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(always(*onnx_files.yolov8()))
    mine = replace(OBJECTS, load=once(lambda: open_objects(path, None)))
    found = look_with(WIDE, {"objects": LEVEL}, (mine,))
    report = found.reports["objects"]
    assert (report["status"], report["thresholds"]) == ("run", LEVEL)
    assert len(report["model_sha256"]) == 64
    assert len(found.facts["objects"]) == 1


def test_labels_without_a_model_are_a_fault() -> None:
    with pytest.raises(SettingsError, match="PHOTO_OBJECT_LABELS"):
        read_settings({"PHOTO_OBJECT_LABELS": "/labels.txt"})
    settings = read_settings({"PHOTO_OBJECT_MODEL": "/m.onnx", "PHOTO_OBJECT_LABELS": "/l.txt"})
    assert settings.work.object_model == Path("/m.onnx")
