"""Models: found, verified, converted and cached, and what is said where one is missing."""

import io
import os
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from photo_pipeline.detectors import labels
from photo_pipeline.inference import cache, model, onnx
from photo_pipeline.inference.boxes import as_fractions, suppress
from photo_pipeline.inference.efficientnet import to_onnx
from photo_pipeline.inference.model import Model, Unavailable, read_model
from photo_pipeline.inference.pth import read_weights
from photo_pipeline.inference.session import open_session, run
from photo_pipeline.worker.child_process import ONE_THREAD
from support.processes import ROOT

# -- finding and verifying


class Distribution(metadata.Distribution):
    """An installed package of one file."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    @property
    def files(self) -> list[metadata.PackagePath]:
        path = metadata.PackagePath(PurePosixPath(self._name))
        path.dist = self
        return [path]

    def read_text(self, filename: str) -> str | None:
        return None

    def locate_file(self, path: Any) -> Any:
        return self._folder / str(path)


def _package(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    found = Distribution(folder, name)
    monkeypatch.setattr(metadata, "distribution", lambda _: found)


SMALL = Model(
    distribution="small-model",
    files=("a.onnx",),
    sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",  # of "abc"
)


def test_a_model_is_found_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_model(SMALL) == Unavailable("not installed")
    _package(monkeypatch, tmp_path, "weights/b.onnx")
    assert read_model(SMALL) == Unavailable("model file missing")
    _package(monkeypatch, tmp_path, "weights/a.onnx")
    assert read_model(SMALL) == model.missing(SMALL) == Unavailable("model file missing")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/a.onnx").write_bytes(b"abc")
    assert read_model(SMALL) == (b"abc",)
    assert model.missing(SMALL) is None
    (tmp_path / "weights/a.onnx").write_bytes(b"abd")
    assert read_model(SMALL) == Unavailable("model has another sha256")


def test_without_the_runtime_no_model_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "find_spec", lambda _: None)
    assert read_model(labels.MODEL) == Unavailable("not installed")


# -- torch's file


def _pth(state: dict[str, Any], storages: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """Return what torch below 1.6 writes: pickles, then each storage with its length."""
    out = io.BytesIO()

    class Writer(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return ("storage", FloatStorage, obj[8:], "cpu", 0) if _is_storage(obj) else None

    for leading in (0x1950A86A20F9469CFC6C, 1001, "system"):
        pickle.dump(leading, out)
    Writer(out).dump(OrderedDict(state))
    pickle.dump(list(storages), out)
    for values in storages.values():
        out.write(struct.pack("<q", len(values)) + values.astype("<f4").tobytes())
    return out.getvalue()


def _is_storage(thing: object) -> bool:
    return isinstance(thing, str) and thing.startswith("storage:")


class FloatStorage:
    """Named as torch's."""

    __module__ = "torch"


def _rebuild_tensor_v2(*_: object) -> None:
    """Named as torch's."""


_rebuild_tensor_v2.__module__ = "torch._utils"


class Tensor:
    """Pickled as torch pickles a tensor."""

    def __init__(self, key: str, offset: int, size: tuple[int, ...], strides: tuple[int, ...]):
        storage = f"storage:{key}"
        self._made_of: Any = (storage, offset, size, strides, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_tensor_v2, self._made_of


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what the tests pickle look as if torch had; reading gets by without."""
    for thing in (FloatStorage, _rebuild_tensor_v2):
        fake = ModuleType(thing.__module__)
        setattr(fake, thing.__name__, thing)
        monkeypatch.setitem(sys.modules, thing.__module__, fake)


@pytest.mark.usefixtures("torch")
def test_strides_and_offsets_are_honoured() -> None:
    numbers = np.arange(10, dtype=np.float32)
    data = _pth(
        {"plain": Tensor("0", 0, (2, 3), (3, 1)), "permuted": Tensor("0", 1, (3, 2), (1, 3))},
        {"0": numbers},
    )
    read = read_weights(data)
    assert read["plain"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read["permuted"].tolist() == [[1, 4], [2, 5], [3, 6]]


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize(
    "tensor",
    [Tensor("0", 8, (3,), (1,)), Tensor("0", -1, (1,), (1,)), Tensor("0", 5, (2,), (-6,))],
)
def test_a_tensor_cannot_reach_beyond_its_storage(tensor: Tensor) -> None:
    with pytest.raises(ValueError, match="beyond"):
        read_weights(_pth({"far": tensor}, {"0": np.zeros(10, np.float32)}))


def test_nothing_else_is_unpickled() -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("true",)

    leading = b"".join(pickle.dumps(part) for part in (1, 2, 3))
    with pytest.raises(pickle.UnpicklingError, match=r"not allowed: posix\.system"):
        read_weights(leading + pickle.dumps({"a": Evil()}))


# -- conversion


@pytest.fixture(scope="module")
def weights() -> bytes:
    data = read_model(labels.MODEL)
    assert isinstance(data, tuple)
    return data[0]


def test_the_conversion_is_the_same_to_the_byte(weights: bytes, tmp_path: Path) -> None:
    made = to_onnx(read_weights(weights))
    path = tmp_path / "model"
    path.write_bytes(made)
    read = model.read_file(path)
    assert isinstance(read, tuple)
    assert read[1] == labels.CONVERTED_SHA256


def test_the_network_computes_what_torch_would(weights: bytes) -> None:
    """The stem by hand, from the weights: convolution, normalisation, ReLU6."""
    read = read_weights(weights)
    chance = np.random.default_rng(1)
    kernel = read["_conv_stem.weight"].astype(np.float64)
    pixels = chance.random((3, 3, 3))
    norm = {p: read[f"_bn0.{p}"] for p in ("weight", "bias", "running_mean", "running_var")}
    plain = (kernel * pixels).sum((1, 2, 3))
    scaled = (plain - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-3)
    expected = np.clip(scaled * norm["weight"] + norm["bias"], 0, 6)
    gain = norm["weight"] / np.sqrt(norm["running_var"] + np.float32(1e-3))
    graph = onnx.model(
        name="stem",
        nodes=[onnx.node("Conv", ["x", "w", "b"], "c"), onnx.node("Clip", ["c", "l", "h"], "y")],
        tensors=[
            onnx.tensor("w", read["_conv_stem.weight"] * gain[:, None, None, None]),
            onnx.tensor("b", norm["bias"] - norm["running_mean"] * gain),
            onnx.tensor("l", np.array(0, np.float32)),
            onnx.tensor("h", np.array(6, np.float32)),
        ],
        inputs=[onnx.value("x", [1, 3, 3, 3])],
        outputs=[onnx.value("y", [1, len(kernel), 1, 1])],
    )
    (found,) = run(open_session(graph), pixels[None].astype(np.float32))
    assert np.allclose(found.ravel(), expected, atol=1e-4)


CONVERT = """
from photo_pipeline.detectors.labels import LABELS
absent = LABELS.warm()
assert absent is None, absent
"""


def _environment(cache_home: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "PYTHONPATH": str(ROOT / "src"), "XDG_CACHE_HOME": str(cache_home)}


def test_four_processes_that_convert_at_once_leave_one_valid_file(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", CONVERT], env=_environment(tmp_path))
        for _ in range(4)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
    (path,) = (tmp_path / "photo-pipeline").iterdir()
    read = model.read_file(path)
    assert isinstance(read, tuple)
    assert read[1] == labels.CONVERTED_SHA256


def test_the_runtime_tells_nobody(tmp_path: Path) -> None:
    """No identifier, no cache of reports, no thread that sends them, no socket."""
    code = """
import psutil
from photo_pipeline.detectors.registry import warm
warm()
me = psutil.Process()
print(me.num_threads(), len(me.net_connections()))
"""
    # Not the environment of the tests: telemetry spares continuous integration.
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment(tmp_path) | {"HOME": str(tmp_path)} | ONE_THREAD,
        check=True,
        capture_output=True,
        text=True,
    )
    assert (told.stdout.split(), told.stderr) == (["1", "0"], "")
    assert [path.name for path in tmp_path.iterdir()] == ["photo-pipeline"]


# -- the cache

ABC = SMALL.sha256


def _forbidden() -> bytes:
    raise AssertionError("there is one already")


def test_what_is_cached_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cached("model", ABC, lambda: b"abc") == b"abc"
    assert cache.cached("model", ABC, _forbidden) == b"abc"


def test_a_damaged_cache_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache.cached("model", ABC, lambda: b"abc")
    (path,) = (tmp_path / "photo-pipeline").iterdir()
    path.write_bytes(b"ab")
    assert cache.cached("model", ABC, lambda: b"abc") == b"abc"
    assert path.read_bytes() == b"abc"


@pytest.mark.parametrize("home", ["/proc/no-such-folder", "/dev/null"])
def test_where_nothing_can_be_written_it_is_made_each_time(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    assert cache.cached("model", ABC, lambda: b"abc") == b"abc"


def test_a_relative_cache_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/somewhere")
    assert cache.folder() == Path("/somewhere/.cache/photo-pipeline")


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert cache.cached("model", ABC, lambda: b"abc") == b"abc"


def test_a_writer_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    assert cache.cached("model", ABC, lambda: b"abc") == b"abc"
    assert list((tmp_path / "photo-pipeline").iterdir()) == []


# -- boxes


def test_suppression_keeps_the_best_of_those_that_overlap() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60]], np.float32)
    scores = np.array([0.6, 0.9, 0.5], np.float32)
    assert suppress(boxes, scores, 0.5, most=10) == [1, 2]
    assert suppress(boxes, scores, 0.9, most=10) == [1, 0, 2]
    assert suppress(boxes, scores, 0.9, most=2) == [1, 0]


def test_a_box_in_a_box_is_told_by_the_smaller_area() -> None:
    boxes = np.array([[0, 0, 20, 20], [5, 5, 10, 10]], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    assert suppress(boxes, scores, 0.5, most=10) == [0, 1]
    assert suppress(boxes, scores, 0.5, most=10, of_smaller=True) == [0]


def test_fractions_end_at_the_edges() -> None:
    box = np.array([-20, 10, 120, 40], np.float32)
    assert as_fractions(box, (100, 50)) == [0, 0.2, 1, 0.6]
