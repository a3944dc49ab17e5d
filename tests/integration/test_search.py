"""Searching photos by what detection has found: one suite over the fake and the real store."""

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from photo_pipeline.api.everything import LISTED
from photo_pipeline.domain import changes
from photo_pipeline.domain.findings import Findings
from photo_pipeline.domain.likeness import NEAR
from photo_pipeline.domain.photo import DETECT, Photo, utc_now
from photo_pipeline.settings import Settings
from photo_pipeline.storage.mongo import open_database
from photo_pipeline.storage.mongo_photos import MongoPhotos
from photo_pipeline.storage.photos import Photos, Selection
from support.pipeline import make_photo
from support.stores import KINDS, open_photos

MANY = 10_000
HASH = 0x0F1E2D3C4B5A6978
BLANK = "0" * 16


@pytest.fixture(params=KINDS)
async def photos(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Photos]:
    async with open_photos(request.param, settings) as photos:
        await photos.ensure_indexes()
        yield photos


def flipped(bits: int, seed: int = 0) -> str:
    """Return the hash with so many bits changed."""
    value = HASH
    for bit in random.Random(seed).sample(range(64), bits):  # noqa: S311  # not for secrets
        value ^= 1 << bit
    return f"{value:016x}"


def facts(value: str = BLANK, **more: Any) -> dict[str, Any]:
    return {"perceptual_hash": {"algorithm": "dhash64", "value": value}, **more}


CAT: dict[str, Any] = {
    "labels": [{"name": "Egyptian cat, tabby", "score": 0.5}],
    "groups": [{"name": "cat", "score": 0.9}],
    "faces": [],
    "colours": [{"hex": "#000000", "share": 1.0, "name": "black"}],
}
COUPLE: dict[str, Any] = {
    "faces": [{"box": [0, 0, 0.1, 0.1]}] * 2,
    "objects": [{"label": "Person", "score": 0.9}, {"label": "cat", "score": 0.9}],
    "colours": [
        {"hex": "#ffffff", "share": 0.5, "name": "white"},
        {"hex": "#0000ff", "share": 0.5, "name": "blue"},
    ],
}


async def detected(photos: Photos, found: dict[str, Any], sha256: str = "a" * 64) -> Photo:
    """Keep a photo in which *found* was found by the stage ``detect``."""
    photo = make_photo((DETECT,), sha256=sha256)
    await photos.insert(photo)
    told = {"attempt": 1, "worker": "w", "at": utc_now()}
    await photos.apply(photo.id, 1, changes.stage_started(DETECT, **told))  # type: ignore[arg-type]
    done = changes.stage_done(
        DETECT,
        recipe="r",
        renditions=(),
        facts=found,
        next_stage=None,
        **told,  # type: ignore[arg-type]
    )
    return (await photos.apply(photo.id, 1, done)).photo


async def search(photos: Photos, **wanted: Any) -> list[str]:
    selection = Selection(statuses=LISTED, **wanted)
    return [photo.id for photo in await photos.page(selection, 10)]


async def test_photos_are_found_by_tag_faces_and_colour(photos: Photos) -> None:
    cat = (await detected(photos, facts(**CAT))).id
    couple = (await detected(photos, facts(**COUPLE))).id
    unseen = (await detected(photos, facts())).id
    await photos.insert(make_photo((DETECT,)))
    assert await search(photos, tag="cat") == [couple, cat]
    assert await search(photos, tag="tabby") == await search(photos, tag="egyptian cat") == [cat]
    assert await search(photos, tag="person") == [couple]
    assert await search(photos, tag="dog") == []
    # Where nobody looked, nobody knows that there are none.
    assert await search(photos, faces=0) == [cat]
    assert await search(photos, faces=2) == [couple]
    assert await search(photos, colour="blue") == [couple]
    assert await search(photos, tag="cat", faces=2, colour="white") == [couple]
    assert await search(photos, tag="cat", faces=2, colour="black") == []
    assert await search(photos, tag="cat", before=couple) == [cat]
    assert unseen in await search(photos)
    await photos.apply(cat, 1, changes.photo_deleted(await photos.get(cat), at=utc_now()))
    assert await search(photos, tag="cat") == [couple]


async def test_exact_and_near_duplicates_are_told_apart(photos: Photos) -> None:
    mine = await detected(photos, facts(flipped(0)))
    again = await detected(photos, facts(flipped(0)))
    far = await detected(photos, facts(flipped(NEAR)), "b" * 64)
    same_look = await detected(photos, facts(flipped(0)), "c" * 64)
    await detected(photos, facts(flipped(NEAR + 1)), "d" * 64)
    gone = await detected(photos, facts(flipped(0)), "e" * 64)
    late = make_photo((DETECT,), sha256="a" * 64)  # nobody has looked at it yet
    await photos.insert(late)
    await photos.apply(gone.id, 1, changes.photo_deleted(gone, at=utc_now()))
    assert [p.id for p in await photos.same_upload(mine, 10)] == [late.id, again.id]
    assert [p.id for p in await photos.same_upload(mine, 1)] == [late.id]
    assert [p.id for p in await photos.alike(mine, 10)] == [same_look.id, far.id]
    assert [p.id for p in await photos.alike(mine, 1)] == [same_look.id]
    assert await photos.alike(late, 10) == []


async def test_blank_pictures_are_not_each_other_s_duplicates(photos: Photos) -> None:
    blank, _ = [await detected(photos, facts(BLANK), each * 64) for each in "ab"]
    assert await photos.alike(blank, 10) == []


async def test_near_ones_are_found_among_many_by_an_index(settings: Settings) -> None:
    chance = random.Random(7)  # noqa: S311  # not for secrets
    async with open_database(settings.store.mongo_url) as database:
        store = MongoPhotos(database)
        await store.ensure_indexes()
        example = await detected(store, facts(flipped(0), **COUPLE))
        document = await database["photos"].find_one({"_id": example.id}) or {}
        others = [
            Findings.of(facts(f"{chance.getrandbits(64):016x}")).model_dump() for _ in range(MANY)
        ]
        await database["photos"].insert_many(
            {**document, "_id": f"other-{n}", "sha256": f"{n:064x}", "found": found}
            for n, found in enumerate(others)
        )
        planted = {
            bits: (await detected(store, facts(flipped(bits, seed=bits)), f"{bits}" * 64)).id
            for bits in (0, 1, NEAR, NEAR + 1)
        }
        await database.command("profile", 2)
        found = await store.alike(example, 10)
        await store.same_upload(example, 10)
        for wanted in ({"tag": "cat"}, {"faces": 2}, {"colour": "blue"}):
            assert await search(store, **wanted) == [example.id]
        await database.command("profile", 0)
        assert [photo.id for photo in found] == [planted[0], planted[1], planted[NEAR]]
        plans = await database["system.profile"].find({"ns": f"{database.name}.photos"}).to_list(99)
        assert len(plans) >= 6
        for plan in plans:
            told = (plan["planSummary"], plan.get("docsExamined"), plan["command"].get("filter"))
            assert "COLLSCAN" not in plan["planSummary"], told
            assert not plan.get("hasSortStage"), told
            assert plan.get("docsExamined", 0) < MANY / 20, told
