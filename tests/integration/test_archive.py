"""The archive subscriber on real files."""

import asyncio
import json
import os
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from photo_pipeline.errors import BlobUnavailableError
from photo_pipeline.metrics import Metrics
from photo_pipeline.settings import read_settings
from photo_pipeline.storage.files import FileBlobs
from photo_pipeline.subscribers import Tools, load
from support.archived import ORIGINAL, RENDITIONS, Service, folder, stored
from support.fakes import FakeDeliveries

MIB = 1024 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def service(tmp_path: Path, root: Path) -> Service:
    return Service(archive=FileBlobs(root), blobs=FileBlobs(tmp_path / "photos"))


async def test_the_setting_names_the_folder(tmp_path: Path, root: Path) -> None:
    service = Service(blobs=FileBlobs(tmp_path / "photos"))
    photo, event = await service.finish()
    tools = Tools(
        settings=read_settings({"PHOTO_ARCHIVE_URL": root.as_uri()}),
        photos=service.photos,
        blobs=service.blobs,
        deliveries=FakeDeliveries(),
        metrics=Metrics(),
    )
    async with load("archive")(tools) as handle:
        await handle(event)
    entry = root / folder(photo)
    assert (entry / "original" / "photo.jpg").read_bytes() == ORIGINAL
    assert (entry / "outcome-0002" / "renditions" / "320.jpg").read_bytes() == RENDITIONS["320"]
    document = json.loads((entry / "outcome-0002" / "status.json").read_bytes())
    assert document == json.loads(event.photo.model_dump_json())


async def test_a_repeat_touches_no_file(service: Service, root: Path) -> None:
    _, event = await service.finish()
    await service.subscriber()(event)
    before = stored(root)
    assert len(before) == 4
    await service.subscriber()(event)
    assert stored(root) == before


async def test_two_at_once_agree(service: Service, root: Path) -> None:
    events = [(await service.finish())[1] for _ in range(5)]
    await asyncio.gather(*(service.subscriber()(event) for event in events * 4))
    files = stored(root)
    assert len(files) == 5 * 4
    expected = {sha256(data).hexdigest() for data in (ORIGINAL, *RENDITIONS.values())}
    assert {d for path, (_, _, d) in files.items() if "status" not in path} == expected


@contextmanager
def _no_file_larger_than(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_copy_cut_short_leaves_nothing_and_succeeds_later(
    service: Service, root: Path
) -> None:
    """The kernel refuses to write on in the middle of a file, as on a full disk."""
    photo, event = await service.finish(original=os.urandom(3 * MIB))
    with _no_file_larger_than(2 * MIB), pytest.raises(BlobUnavailableError, match="EFBIG"):
        await service.subscriber()(event)
    assert stored(root) == {}
    await service.subscriber()(event)
    assert len(stored(root)) == 4
    assert (root / folder(photo) / "original" / "photo.jpg").stat().st_size == 3 * MIB


async def test_an_archive_that_is_no_folder_yet_is_tried_again(
    service: Service, root: Path
) -> None:
    _, event = await service.finish()
    root.write_text("a file where a folder must be")
    with pytest.raises(BlobUnavailableError, match=r"archiving .*photo\.jpg: .*ENOTDIR"):
        await service.subscriber()(event)
    root.unlink()
    await service.subscriber()(event)
    assert len(stored(root)) == 4


async def test_memory_stays_flat(service: Service, root: Path) -> None:
    _, event = await service.finish(original=os.urandom(64 * MIB))
    tracemalloc.start()
    try:
        await service.subscriber()(event)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB
    assert len(stored(root)) == 4
