"""One suite over the fake and the real blob store."""

import asyncio
import errno
import os
import shutil
from collections import Counter
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest

from photo_pipeline.domain.photo import utc_now
from photo_pipeline.errors import BlobUnavailableError, MissingBlobError, StorageFullError
from photo_pipeline.storage.blobs import (
    CHUNK_BYTES,
    Blobs,
    original_key,
    photo_prefixes,
    rendition_key,
    safe_name,
)
from photo_pipeline.storage.files import FileBlobs, open_blobs
from support.fakes import FakeBlobs

KEY = "originals/ab/photo-1/a.jpg"


@pytest.fixture(params=["fake", "file"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return FakeBlobs() if request.param == "fake" else FileBlobs(tmp_path)


async def test_what_is_written_can_be_read(blobs: Blobs) -> None:
    await blobs.write(KEY, b"bytes")
    await blobs.write(KEY, b"bytes")
    assert await blobs.read(KEY) == b"bytes"


async def test_an_upload_is_hashed_counted_and_visible_after_commit(blobs: Blobs) -> None:
    async with blobs.upload() as upload:
        await upload.write(b"by")
        await upload.write(b"tes")
        assert upload.size == 5
        assert upload.sha256.startswith(
            "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9"
        )
        async with upload.opened() as file:
            assert file.read() == b"bytes"
        with pytest.raises(MissingBlobError):
            await blobs.read(KEY)
        await upload.commit(KEY)
    assert await blobs.read(KEY) == b"bytes"


async def test_a_missing_blob_is_told(blobs: Blobs) -> None:
    with pytest.raises(MissingBlobError):
        await blobs.read(KEY)


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (0, None),
        (0, 1),
        (5, 5),
        (7, 3),
        (CHUNK_BYTES - 1, CHUNK_BYTES + 1),
        (1, 2 * CHUNK_BYTES + 1),
        (2 * CHUNK_BYTES, None),
        (CHUNK_BYTES, 10 * CHUNK_BYTES),
        (10 * CHUNK_BYTES, None),
    ],
)
async def test_a_stream_yields_the_range_in_chunks(
    blobs: Blobs, start: int, stop: int | None
) -> None:
    data = os.urandom(2 * CHUNK_BYTES + 10)
    await blobs.write(KEY, data)
    chunks = [chunk async for chunk in blobs.stream(KEY, start, stop)]
    assert b"".join(chunks) == data[start:stop]
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in chunks)


async def test_an_empty_blob_streams_nothing(blobs: Blobs) -> None:
    await blobs.write(KEY, b"")
    assert [chunk async for chunk in blobs.stream(KEY)] == []


async def test_a_stream_of_a_missing_blob_tells_so(blobs: Blobs) -> None:
    with pytest.raises(MissingBlobError):
        await anext(blobs.stream(KEY))


async def test_a_stream_may_be_left_early(blobs: Blobs) -> None:
    await blobs.write(KEY, bytes(3 * CHUNK_BYTES))
    async with aclosing(blobs.stream(KEY)) as chunks:
        assert len(await anext(chunks)) == CHUNK_BYTES
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


async def test_a_stream_from_a_storage_that_fails_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / KEY).mkdir(parents=True)
    with pytest.raises(BlobUnavailableError):
        await anext(FileBlobs(tmp_path).stream(KEY))


async def test_deleting_is_final_and_may_repeat(blobs: Blobs) -> None:
    await blobs.write(KEY, b"bytes")
    await blobs.delete(KEY)
    await blobs.delete(KEY)
    with pytest.raises(MissingBlobError):
        await blobs.read(KEY)


async def test_the_size_is_that_of_the_bytes(blobs: Blobs) -> None:
    assert await blobs.size(KEY) is None
    await blobs.write(KEY, b"bytes")
    assert await blobs.size(KEY) == 5


async def test_everything_of_one_photo_goes_and_nothing_of_another(blobs: Blobs) -> None:
    mine, other = "0192-aaff", "0192-bbff"  # in the same shard
    longer = f"{mine}0"  # begins alike, but is no folder below
    keys = {
        photo_id: [
            original_key(photo_id, "a.jpg"),
            rendition_key(photo_id, "r1", "640", "jpg"),
            rendition_key(photo_id, "r2", "640", "jpg"),
            rendition_key(photo_id, "r2", "320", "webp"),
        ]
        for photo_id in (mine, other, longer)
    }
    for key in [key for each in keys.values() for key in each]:
        await blobs.write(key, b"bytes")
    for _ in range(2):
        for prefix in photo_prefixes(mine):
            await blobs.delete_under(prefix)
    assert [await blobs.size(key) for key in keys[mine]] == [None] * 4
    for photo_id in (other, longer):
        assert [await blobs.size(key) for key in keys[photo_id]] == [5] * 4


async def test_deleting_leaves_no_folder_of_the_photo(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    await blobs.write(rendition_key("photo-ab", "r1", "640", "jpg"), b"bytes")
    for prefix in photo_prefixes("photo-ab"):
        await blobs.delete_under(prefix)
    assert list((tmp_path / "renditions" / "ab").iterdir()) == []


async def test_writers_and_erasers_at_once_leave_whole_blobs_or_none(tmp_path: Path) -> None:
    """A late writer meets the eraser: either may win, and what is lost is told as such."""
    blobs = FileBlobs(tmp_path)
    _, prefix = photo_prefixes("photo-ab")
    outcomes: Counter[str] = Counter()

    async def write(n: int) -> None:
        key = rendition_key("photo-ab", f"r{n % 7}", str(n % 3), "jpg")
        try:
            await blobs.write(key, bytes(1000))
            outcomes["written"] += 1
        except BlobUnavailableError:
            outcomes["refused"] += 1

    async def erase() -> None:
        try:
            await blobs.delete_under(prefix)
            outcomes["erased"] += 1
        except BlobUnavailableError:
            outcomes["not erased"] += 1

    for _ in range(20):
        await asyncio.gather(*(write(n) for n in range(20)), erase(), erase(), erase())
    assert outcomes["written"]
    assert outcomes["erased"]
    sizes = [p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()]
    assert set(sizes) <= {1000}
    await blobs.delete_under(prefix)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


async def test_erasers_at_once_do_not_fail_one_another(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    _, prefix = photo_prefixes("photo-ab")
    for _ in range(10):
        for n in range(30):
            await blobs.write(rendition_key("photo-ab", f"r{n}", "640", "jpg"), b"bytes")
        await asyncio.gather(*(blobs.delete_under(prefix) for _ in range(4)))
        assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


async def test_bytes_that_cannot_be_erased_are_told(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    originals, _ = photo_prefixes("photo-ab")
    (tmp_path / originals).parent.mkdir(parents=True)
    (tmp_path / originals).write_text("a file where a folder must be")
    with pytest.raises(BlobUnavailableError):
        await blobs.delete_under(originals)


async def test_an_abandoned_upload_leaves_nothing(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)

    async def abandon() -> None:
        async with blobs.upload() as upload:
            await upload.write(b"bytes")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await abandon()
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


async def test_a_deleted_photo_leaves_no_folder_but_the_shared_ones(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    key = rendition_key("photo-ab", "recipe", "640", "jpg")
    await blobs.write(key, b"bytes")
    await blobs.delete(key)
    assert (tmp_path / "renditions" / "ab").is_dir()
    assert list((tmp_path / "renditions" / "ab").iterdir()) == []


async def test_a_storage_that_fails_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "originals").write_text("a file where a folder must be")
    blobs = FileBlobs(tmp_path)
    with pytest.raises(BlobUnavailableError):
        await blobs.write(KEY, b"bytes")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["originals"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_storage_is_told_as_such_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    blobs = FileBlobs(tmp_path)

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)  # where a file system that allocates late tells it
    with pytest.raises(StorageFullError):
        await blobs.write(KEY, b"bytes")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_there_is_as_much_room_as_the_file_system_says(tmp_path: Path) -> None:
    told = await FileBlobs(tmp_path / "not" / "there" / "yet").free_bytes()
    assert told == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    (tmp_path / "file").touch()
    with pytest.raises(BlobUnavailableError):
        await FileBlobs(tmp_path / "file").free_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_read_only_folder_is_not_ready(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BlobUnavailableError):
        await FileBlobs(tmp_path).check()


@pytest.mark.parametrize("key", ["../a", "a/../../b", "/etc/passwd", ""])
async def test_no_key_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    blobs = FileBlobs(tmp_path / "photos")
    with pytest.raises(ValueError, match="not a key"):
        await blobs.write(key, b"bytes")
    with pytest.raises(ValueError, match="not a key"):
        await blobs.size(key)


async def test_the_url_names_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    blobs = open_blobs(folder.as_uri())
    await blobs.write(KEY, b"bytes")
    assert (folder / KEY).read_bytes() == b"bytes"


@pytest.mark.parametrize(
    ("filename", "safe"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\my photo.JPG", "my_photo.JPG"),
        (".htaccess", "htaccess"),
        ("...", "photo"),
        ("", "photo"),
        ("ünï\n\x00.png", "_n_.png"),
    ],
)
def test_file_names_become_harmless(filename: str, safe: str) -> None:
    assert safe_name(filename) == safe


def test_a_long_name_keeps_its_extension() -> None:
    name = safe_name("x" * 300 + ".jpeg")
    assert len(name) == 100
    assert name.endswith("x.jpeg")


def test_keys_spread_by_the_random_end_of_the_id() -> None:
    assert original_key("0192-f3", "a.jpg") == "originals/f3/0192-f3/a.jpg"


async def test_the_aged_blobs_of_a_shard_are_told_by_photo(blobs: Blobs) -> None:
    photo_id = "01890000-0000-7000-8000-0000000000ab"
    keys = [
        original_key(photo_id, "a.jpg"),
        rendition_key(photo_id, "r1", "small", "jpg"),
        rendition_key(photo_id, "r2", "small", "jpg"),
    ]
    other = original_key("01890000-0000-7000-8000-0000000000cd", "b.jpg")
    for key in (*keys, other):
        await blobs.write(key, b"bytes")
    soon, ago = (utc_now() + timedelta(hours=hours) for hours in (1, -1))
    found = {id_: sorted(keys) async for id_, keys in blobs.aged("ab", before=soon)}
    assert found == {photo_id: sorted(keys)}
    assert [found async for found in blobs.aged("ab", before=ago)] == []
    assert [found async for found in blobs.aged("00", before=soon)] == []


async def test_temporary_files_go_when_nobody_has_written_to_them_for_long(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    assert await blobs.drop_stale(before=utc_now()) == 0
    async with blobs.upload() as upload:
        await upload.write(b"bytes")
        left = tmp_path / "tmp" / "left-by-a-killed-process"
        left.write_bytes(b"bytes")
        os.utime(left, (0, 0))
        assert await blobs.drop_stale(before=utc_now() - timedelta(days=1)) == 1
        assert not left.exists()
        await upload.commit(KEY)
    assert await blobs.read(KEY) == b"bytes"
