"""The list of photos, while it grows and changes."""

import asyncio
import re
from typing import Any

from support.processes import SAMPLES, Fleet, RoleProcess
from support.waiting import until

PHOTO = SAMPLES / "cat-small.jpg"


async def _page(fleet: Fleet, api: RoleProcess, **query: Any) -> dict[str, Any]:
    async with fleet.http.get(f"{api.url}/photos", params=query) as answer:
        assert answer.status == 200, await answer.text()
        page: dict[str, Any] = await answer.json()
        link = answer.headers.get("Link")
        cursor = page["next_cursor"]
        assert (link is None) is (cursor is None)
        if link is not None:
            found = re.fullmatch(r'<(/photos\?.*)>; rel="next"', link)
            assert found
            async with fleet.http.get(api.url + found[1]) as following:
                same = await fleet.http.get(f"{api.url}/photos", params={**query, "cursor": cursor})
                assert (await following.json())["items"] == (await same.json())["items"]
    return page


def _ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["items"]]


async def test_pages_join_without_gap_or_repeat_while_photos_arrive(fleet: Fleet) -> None:
    api = await fleet.start_api()
    ids = [await fleet.upload(api, PHOTO) for _ in range(7)]
    page = await _page(fleet, api, limit=3)
    joined = _ids(page)
    while page["next_cursor"]:
        await asyncio.gather(*(fleet.upload(api, PHOTO) for _ in range(3)))
        page = await _page(fleet, api, limit=3, cursor=page["next_cursor"])
        joined += _ids(page)
    assert joined == ids[::-1]
    assert len(_ids(await _page(fleet, api))) == 7 + 2 * 3


async def test_a_list_holds_what_was_asked_for(fleet: Fleet) -> None:
    api = await fleet.start_api("api,resize,watermark")
    ids = [await fleet.upload(api, PHOTO) for _ in range(2)]
    detect = await fleet.start("detect")
    documents = await fleet.outcomes(api, ids)
    assert await detect.terminate() == 0
    waiting = await fleet.upload(api, PHOTO)

    async def at_detect() -> bool:
        return _ids(await _page(fleet, api, stage="detect")) == [waiting]

    await until(at_detect)
    assert _ids(await _page(fleet, api, status="done")) == ids[::-1]
    assert _ids(await _page(fleet, api, status="processing", stage="detect")) == [waiting]
    assert _ids(await _page(fleet, api, status="failed")) == []
    assert _ids(await _page(fleet, api, stage="resize")) == []
    item = (await _page(fleet, api, status="done", limit=1))["items"][0]
    for name in ("id", "status", "revision", "placeholder", "links", "width"):
        assert item[name] == documents[1][name], name
    whole = documents[1]["renditions"]
    assert all(rendition.pop("receipt") for rendition in whole), "in the status document only"
    assert item["renditions"] == whole
    assert item["stage"] is None


async def test_a_wrong_question_is_refused(fleet: Fleet) -> None:
    api = await fleet.start_api()
    for query in (
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "-1"},
        {"limit": "x"},
        {"limit": ""},
        {"status": "gone"},
        {"stage": "nothing"},
        {"cursor": "x"},
        {"cursor": "$gt"},
    ):
        async with fleet.http.get(f"{api.url}/photos", params=query) as answer:
            assert answer.status == 400, query
            assert (await answer.json())["code"] == "invalid_request"
    async with fleet.http.get(f"{api.url}/photos/", params={"limit": 200}) as answer:
        assert await answer.json() == {"items": [], "next_cursor": None}
