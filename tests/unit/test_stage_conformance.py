"""What every registered stage must keep to, whoever wrote it."""

import ast
import io
import pickle
import pkgutil
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from photo_pipeline import imaging, stages
from photo_pipeline.domain.formats import FORMATS
from photo_pipeline.domain.pipeline import PIPELINE
from photo_pipeline.domain.stage import ORIGINAL, Output, Parameters, Stage
from photo_pipeline.errors import UnreadableImageError
from photo_pipeline.stages import load

IMPURE = {
    "aio_pika", "aiofiles", "aiohttp", "asyncio", "http", "logging", "motor", "multiprocessing",
    "os", "pathlib", "pymongo", "random", "secrets", "shutil", "socket", "sqlite3", "ssl",
    "structlog", "subprocess", "tempfile", "threading", "time", "urllib",
}  # fmt: skip
OURS = tuple(f"photo_pipeline.{name}" for name in ("detectors", "domain", "errors", "imaging"))


def photo() -> bytes:
    image = Image.effect_noise((64, 48), 90).resize((2600, 1950)).convert("RGB")
    out = io.BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()


@pytest.fixture(scope="module")
def photos() -> dict[str, bytes]:
    """The original and all that the earlier stages made of it, filled as the tests go."""
    known = {ORIGINAL: photo()}
    for name in PIPELINE:
        known |= {picture.name: picture.data for picture in run(load(name), known).pictures}
    return known


def run(stage: Stage[Any], known: dict[str, bytes]) -> Output:
    parameters = stage.parameters()
    return stage.transform({name: known[name] for name in stage.reads(parameters)}, parameters)


def modules(package: ModuleType) -> list[str]:
    return [module.name for module in pkgutil.iter_modules(package.__path__)]


def test_the_folder_and_the_registry_agree() -> None:
    assert sorted(modules(stages)) == sorted(PIPELINE)


def test_load_refuses_what_is_no_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError):
        load("no_such_stage")
    fake = ModuleType("photo_pipeline.stages.fake")
    monkeypatch.setitem(sys.modules, "photo_pipeline.stages.fake", fake)
    with pytest.raises(TypeError):
        load("fake")


@pytest.mark.parametrize("name", PIPELINE)
def test_it_loads_and_its_transform_can_be_named(name: str) -> None:
    stage = load(name)
    assert stage.version >= 1
    assert issubclass(stage.parameters, Parameters)
    module = import_module(f"photo_pipeline.stages.{name}")
    assert getattr(module, stage.transform.__name__) is stage.transform
    assert stage.transform.__module__ == module.__name__
    assert pickle.loads(pickle.dumps(stage.transform)) is stage.transform  # noqa: S301
    stage.warm()


@pytest.mark.parametrize("name", PIPELINE)
def test_it_is_deterministic(name: str, photos: dict[str, bytes]) -> None:
    assert run(load(name), photos) == run(load(name), photos)


@pytest.mark.parametrize("name", PIPELINE)
def test_it_writes_what_it_announces(name: str, photos: dict[str, bytes]) -> None:
    stage = load(name)
    output = run(stage, photos)
    assert tuple(picture.name for picture in output.pictures) == stage.writes(stage.parameters())
    for picture in output.pictures:
        image = Image.open(io.BytesIO(picture.data))
        assert image.format == FORMATS[picture.format].pillow
        assert image.size == (picture.width, picture.height)
        image.load()


@pytest.mark.parametrize("name", PIPELINE)
def test_its_facts_are_json(name: str, photos: dict[str, bytes]) -> None:
    def is_json(value: object) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) and is_json(item) for key, item in value.items())
        if isinstance(value, list):
            return all(map(is_json, value))
        return value is None or isinstance(value, str | int | float)

    assert is_json(dict(run(load(name), photos).facts))


@pytest.mark.parametrize("name", PIPELINE)
def test_it_leaves_its_input_alone(name: str, photos: dict[str, bytes]) -> None:
    before = dict(photos)
    run(load(name), photos)
    assert photos == before


@pytest.mark.parametrize("name", PIPELINE)
@pytest.mark.parametrize(
    "garbage", [b"", b"not an image", b"\xff\xd8\xff\xe0" + b"\0" * 60, b"\x89PNG\r\n\x1a\n"]
)
def test_it_refuses_garbage(name: str, garbage: bytes) -> None:
    stage = load(name)
    parameters = stage.parameters()
    with pytest.raises(UnreadableImageError):
        stage.transform(dict.fromkeys(stage.reads(parameters), garbage), parameters)


def test_each_reads_only_what_is_there_and_no_name_comes_twice() -> None:
    known = [ORIGINAL]
    for name in PIPELINE:
        stage = load(name)
        parameters = stage.parameters()
        reads, writes = stage.reads(parameters), stage.writes(parameters)
        assert reads
        assert set(reads) <= set(known), name
        known += writes
    assert len(set(known)) == len(known)


@pytest.mark.parametrize("name", PIPELINE)
def test_its_parameters_survive_json(name: str) -> None:
    parameters = load(name).parameters()
    assert type(parameters).model_validate_json(parameters.model_dump_json()) == parameters
    assert type(parameters).model_validate(parameters.model_dump(mode="json")) == parameters
    assert type(parameters).model_json_schema()["type"] == "object"
    with pytest.raises(ValueError, match="frozen"):
        setattr(parameters, next(iter(type(parameters).model_fields)), None)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("package", [stages, imaging])
def test_stages_and_imaging_do_no_io(package: ModuleType) -> None:
    (folder,) = package.__path__
    for path in Path(folder).glob("*.py"):
        for name in imports(path):
            assert name.partition(".")[0] not in IMPURE, f"{path.name} imports {name}"
            if name.startswith("photo_pipeline"):
                assert name.startswith(OURS), f"{path.name} imports {name}"
