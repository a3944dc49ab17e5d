"""`photo-pipeline verify` over a store in MongoDB and on disk."""

import asyncio
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image, ImageOps

from photo_pipeline.domain.photo import Photo
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.imaging.metadata import save_options
from photo_pipeline.settings import Settings
from photo_pipeline.storage.blobs import Blobs
from photo_pipeline.storage.files import open_blobs
from photo_pipeline.storage.mongo import open_database
from photo_pipeline.storage.mongo_photos import MongoPhotos
from photo_pipeline.storage.photos import Photos
from support.pipeline import make_photo
from support.processes import Space
from support.stored import COPYRIGHT, RENDITIONS, finished_photo, replaced, small_photo

PHOTOS = 70  # of three renditions each: 210


@pytest.fixture
async def photos(settings: Settings) -> AsyncIterator[Photos]:
    async with open_database(settings.store.mongo_url) as database:
        yield MongoPhotos(database)


@pytest.fixture
def blobs(settings: Settings) -> Blobs:
    return open_blobs(settings.store.storage_url)


@pytest.fixture
async def stored(photos: Photos, blobs: Blobs, request: pytest.FixtureRequest) -> list[Photo]:
    count, chance = getattr(request, "param", 2), Random(5)  # noqa: S311  # the same every time
    return [await finished_photo(photos, blobs, small_photo(chance)) for _ in range(count)]


async def verify(space: Space, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command as an operator would; return exit status and what it told."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "photo_pipeline", "verify", "--json", *arguments,
        env={**space.environment, "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
    )  # fmt: skip
    told, _ = await asyncio.wait_for(process.communicate(), 240)
    assert process.returncode is not None
    return process.returncode, json.loads(told)


def encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=82, **save_options("jpeg", {"copyright": COPYRIGHT}))
    return out.getvalue()


async def bytes_of(photo: Photo, blobs: Blobs, name: str) -> bytes:
    rendition = photo.rendition(name)
    assert rendition is not None
    return await blobs.read(rendition.key)


@pytest.mark.parametrize("stored", [PHOTOS], indirect=True)
async def test_one_leak_and_one_inverted_rendition_among_200_are_named(
    space: Space, photos: Photos, blobs: Blobs, stored: list[Photo], tmp_path: Path
) -> None:
    leaking, inverted = stored[11], stored[42]
    path = tmp_path / "rendition.jpg"
    path.write_bytes(await bytes_of(leaking, blobs, "80"))
    planting = ["exiftool", "-q", "-overwrite_original", "-EXIF:GPSLatitude=48.85", str(path)]
    subprocess.run(planting, check=True)
    await replaced(photos, blobs, leaking, "80", path.read_bytes())
    image = Image.open(io.BytesIO(await bytes_of(inverted, blobs, "160-watermarked")))
    await replaced(photos, blobs, inverted, "160-watermarked", encoded(ImageOps.invert(image)))

    status, told = await verify(space)

    assert status == 1
    assert told["photos"] == PHOTOS
    assert told["renditions"] == PHOTOS * RENDITIONS
    assert {(v["photo_id"], v["rendition"], v["what"]) for v in told["violations"]} == {
        (leaking.id, "80", "privacy"),
        (inverted.id, "160-watermarked", "fidelity"),
    }
    assert any(violation["value"].startswith("gps: ") for violation in told["violations"])


async def test_a_store_in_order_has_no_violation(
    space: Space, photos: Photos, stored: list[Photo]
) -> None:
    await photos.insert(make_photo())
    await photos.insert(make_photo(status=PhotoStatus.DELETED))
    status, told = await verify(space)
    assert status == 0
    assert told == {
        "photos": 2,
        "renditions": 2 * RENDITIONS,
        "older": 0,
        "changed": 0,
        "skipped": {"deleted": 1, "queued": 1},
        "violations": [],
    }


async def test_bytes_that_are_gone_or_rotten_are_named(
    space: Space, blobs: Blobs, stored: list[Photo]
) -> None:
    gone, rotten = stored
    rendition = gone.rendition("80")
    assert rendition is not None
    await blobs.delete(rendition.key)
    original = bytearray(await blobs.read(rotten.original))
    original[40] ^= 1
    await blobs.delete(rotten.original)
    await blobs.write(rotten.original, bytes(original))
    status, told = await verify(space)
    assert status == 1
    assert {(v["photo_id"], v["rendition"], v["what"]) for v in told["violations"]} == {
        (gone.id, "80", "missing_blob"),
        (rotten.id, "original", "sha256"),
    }
    status, told = await verify(space, "--photo", gone.id)
    assert (status, told["photos"], len(told["violations"])) == (1, 1, 1)


async def test_an_original_that_cannot_be_read_is_named_and_not_fatal(
    space: Space, photos: Photos, blobs: Blobs, stored: list[Photo]
) -> None:
    data = b"no picture at all"
    broken = stored[0].model_copy(
        update={"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    )
    await blobs.delete(broken.original)
    await blobs.write(broken.original, data)
    await photos.remove(broken.id)
    assert await photos.insert(broken)
    status, told = await verify(space)
    assert status == 1
    assert {(v["photo_id"], v["rendition"], v["what"]) for v in told["violations"]} == {
        (broken.id, "160", "unreadable_image"),
        (broken.id, "80", "unreadable_image"),
    }


async def test_a_photo_of_an_older_version_is_judged_by_its_metadata_only(
    space: Space, photos: Photos, blobs: Blobs, stored: list[Photo]
) -> None:
    photo = stored[0]
    slot = photo.stages["resize"].model_copy(update={"recipe": "0" * 32})
    old = photo.model_copy(update={"stages": {**photo.stages, "resize": slot}})
    await photos.remove(photo.id)
    assert await photos.insert(old)
    status, told = await verify(space, "--photo", photo.id)
    assert (status, told["older"]) == (0, 2)


async def test_a_photo_that_is_not_there_is_said(space: Space) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "photo_pipeline", "verify", "--photo", "nothing",
        env={**space.environment, "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    told, said = await asyncio.wait_for(process.communicate(), 240)
    assert (process.returncode, told) == (1, b"")
    assert said.decode() == "photo-pipeline: no photo nothing\n"
