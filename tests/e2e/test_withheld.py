"""A preset that lets only marked pictures be served, by real role processes."""

from pathlib import Path
from typing import Any

from support.outcomes import watching_outcomes
from support.processes import SAMPLES, Fleet, RoleProcess, Space
from support.waiting import until

PHOTO = SAMPLES / "coffee-gps.jpg"
PRESETS = """\
[open]
resize = { sizes = [800, 640, 500] }
watermark = { renditions = ["800"] }
detect = { rendition = "640" }

[proof]
watermark = { renditions = ["1280", { name = "640", tile = true }], unmarked = "withheld" }
"""
MARKED = {"1280-watermarked", "640-watermarked"}


async def _refused(fleet: Fleet, api: RoleProcess, photo_id: str, name: str) -> None:
    url = f"{api.url}/photos/{photo_id}/{name}"
    for headers in ({}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}):
        async with fleet.http.get(url, headers=headers) as answer:
            problem = await answer.json()
            assert (answer.status, problem["code"]) == (403, "withheld"), name
            assert not {"ETag", "Content-Range", "Accept-Ranges"} & answer.headers.keys()
    async with fleet.http.head(url) as answer:
        assert answer.status == 403
        assert "ETag" not in answer.headers


def _offers(document: dict[str, Any]) -> set[str]:
    return {rendition["name"] for rendition in document["renditions"]}


async def test_only_marked_pictures_are_served_and_offered(
    fleet: Fleet, space: Space, tmp_path: Path
) -> None:
    presets = tmp_path / "presets.toml"
    presets.write_text(PRESETS)
    root = tmp_path / "archive"
    environment = {"PHOTO_PRESETS_FILE": str(presets), "PHOTO_ARCHIVE_URL": root.as_uri()}
    async with watching_outcomes(space) as watcher:
        api = await fleet.start_api("api,workers,archive", environment=environment)
        photo_id = await fleet.upload(api, PHOTO, preset="proof")
        document = await fleet.outcome(api, photo_id)
        (event,) = await watcher.told(1)
    assert document["status"] == "done", document["error"]
    assert document["detection"]
    assert _offers(document) == MARKED == {rendition.name for rendition in event.photo.renditions}
    assert document["links"]["original"] is None
    for url in document["srcset"]["jpeg"].split(", "):
        assert "-watermarked?" in url
    async with fleet.http.get(f"{api.url}/photos") as answer:
        (summary,) = (await answer.json())["items"]
    assert (_offers(summary), summary["links"]["original"]) == (MARKED, None)
    for name in ("original", "2048", "1280", "640", "320"):
        await _refused(fleet, api, photo_id, name)
    for rendition in document["renditions"]:
        async with fleet.http.get(f"{api.url}{rendition['url']}") as answer:
            assert answer.status == 200
            assert len(await answer.read()) == rendition["bytes"]

    # The archive is private: it has everything.
    async def archived() -> bool:
        return any(root.rglob("status.json"))

    await until(archived)
    names = {"2048", "1280", "640", "320", *MARKED}
    files = {path.name for path in root.rglob("*") if path.is_file()}
    assert files == {f"{name}.jpg" for name in names} | {PHOTO.name, "status.json"}


async def test_a_preset_that_withholds_hides_what_an_earlier_run_has_left(
    fleet: Fleet, space: Space, tmp_path: Path
) -> None:
    presets = tmp_path / "presets.toml"
    presets.write_text(PRESETS)
    environment = {"PHOTO_PRESETS_FILE": str(presets)}
    api = await fleet.start_api("api", environment=environment)
    workers = await fleet.start("workers", environment=environment)
    photo_id = await fleet.upload(api, PHOTO, preset="open")
    document = await fleet.outcome(api, photo_id)
    assert _offers(document) == {"800", "640", "500", "800-watermarked"}
    assert document["links"]["original"]
    assert await workers.terminate() == 0
    # Nobody works on it: what there is comes from the run before.
    url = f"{api.url}/photos/{photo_id}/reprocess"
    async with fleet.http.post(url, json={"preset": "proof"}) as answer:
        assert (await answer.json())["links"]["original"] is None
    assert _offers(await fleet.status(api, photo_id)) == {"800-watermarked"}
    for name in ("original", "2048", "800", "640", "500"):
        await _refused(fleet, api, photo_id, name)
