"""Searching and duplicates over HTTP, with real models and real photos."""

import io
from pathlib import Path
from typing import Any

from PIL import Image

from support.processes import SAMPLES, Fleet, RoleProcess

CAT = SAMPLES / "cat-small.jpg"
ASTRONAUT = SAMPLES / "astronaut.jpg"
COFFEE = SAMPLES / "coffee-gps.jpg"


async def _json(fleet: Fleet, api: RoleProcess, path: str, status: int = 200) -> Any:
    async with fleet.http.get(f"{api.url}{path}") as answer:
        assert answer.status == status, path
        return await answer.json()


async def _found(fleet: Fleet, api: RoleProcess, query: str) -> set[str]:
    return {item["id"] for item in (await _json(fleet, api, f"/photos?{query}"))["items"]}


def _smaller(path: Path, folder: Path) -> Path:
    """Return another file of the same picture: smaller, in another format."""
    with Image.open(path) as image:
        small = image.resize((image.width * 2 // 3, image.height * 2 // 3))
    data = io.BytesIO()
    small.save(data, "WEBP", quality=60)
    copy = folder / "smaller.webp"
    copy.write_bytes(data.getvalue())
    return copy


async def test_photos_are_found_and_told_apart(fleet: Fleet, tmp_path: Path) -> None:
    api = await fleet.start_api()
    early = await fleet.upload(api, CAT)
    told = await _json(fleet, api, f"/photos/{early}/duplicates")
    assert told == {"id": early, "exact": [], "near": None}, "nobody has looked yet"
    await fleet.start("workers")
    again = await fleet.upload(api, CAT)
    small = await fleet.upload(api, _smaller(CAT, tmp_path))
    astronaut, coffee = await fleet.upload(api, ASTRONAUT), await fleet.upload(api, COFFEE)
    ids = (early, again, small, astronaut, coffee)
    documents = [await fleet.outcome(api, photo_id) for photo_id in ids]
    assert [document["status"] for document in documents] == ["done"] * len(ids)
    told = await _json(fleet, api, documents[-1]["links"]["duplicates"])
    assert (told["exact"], told["near"]) == ([], [])
    told = await _json(fleet, api, f"/photos/{early}/duplicates")
    assert [each["id"] for each in told["exact"]] == [again]
    assert [each["id"] for each in told["near"]] == [small]
    assert told["near"][0]["distance"] <= 6
    told = await _json(fleet, api, f"/photos/{small}/duplicates")
    assert told["exact"] == []
    assert {each["id"] for each in told["near"]} == {early, again}
    assert await _found(fleet, api, "label=Cat") == {early, again, small}
    assert await _found(fleet, api, "label=cat&limit=1") == {small}
    assert await _found(fleet, api, "label=espresso") == {coffee}
    assert await _found(fleet, api, "faces=1") == {astronaut}
    assert await _found(fleet, api, "faces=0&label=espresso&color=red") == {coffee}
    assert await _found(fleet, api, "color=orange&faces=1") == {astronaut}
    assert await _found(fleet, api, "label=dog") == set()
    for wrong in ("label=", "faces=two", "color=colourful"):
        await _json(fleet, api, f"/photos?{wrong}", 400)
    async with fleet.http.delete(f"{api.url}/photos/{again}") as answer:
        assert answer.status == 202
    assert await _found(fleet, api, "label=cat") == {early, small}
    assert (await _json(fleet, api, f"/photos/{early}/duplicates"))["exact"] == []
    await _json(fleet, api, f"/photos/{again}/duplicates", 410)
