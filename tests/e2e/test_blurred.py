"""A preset that lets only pictures with blurred faces be served, by real role processes."""

import io
from pathlib import Path

from PIL import Image

from photo_pipeline.detectors.hiding import faces_to_hide
from support.processes import ROOT, SAMPLES, Fleet, Space
from support.waiting import until

PRESETS = """\
[street]
resize = { sizes = [640, 320] }
watermark = { renditions = ["640"] }
detect = { rendition = "640", blur_faces = ["640-watermarked", "320"] }
"""
BLURRED = {"640-watermarked-blurred", "320-blurred"}
NO_MODELS = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "onnxruntime":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
"""


async def test_only_pictures_with_blurred_faces_are_served(
    fleet: Fleet, space: Space, tmp_path: Path
) -> None:
    presets = tmp_path / "presets.toml"
    presets.write_text(PRESETS)
    api = await fleet.start_api("api,workers", environment={"PHOTO_PRESETS_FILE": str(presets)})
    photo_id = await fleet.upload(api, SAMPLES / "astronaut.jpg", preset="street")
    document = await fleet.outcome(api, photo_id)
    assert document["status"] == "done", document["error"]
    assert {rendition["name"] for rendition in document["renditions"]} == BLURRED
    assert document["detection"]["blurred"].keys() == {"640-watermarked", "320"}
    assert document["links"]["original"] is None
    assert document["placeholder"] is None
    assert all("-blurred?" in url for url in document["srcset"]["jpeg"].split(", "))
    for name in ("original", "640", "320", "640-watermarked"):
        async with fleet.http.get(f"{api.url}/photos/{photo_id}/{name}") as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "withheld"), name
    for rendition in document["renditions"]:
        assert rendition["receipt"]["privacy"]["found"] == {}
        async with fleet.http.get(f"{api.url}{rendition['url']}") as answer:
            assert answer.status == 200
            with Image.open(io.BytesIO(await answer.read())) as image:
                assert faces_to_hide(image.convert("RGB"), 0.9).faces == ()


async def test_without_the_model_nothing_is_served(
    fleet: Fleet, space: Space, tmp_path: Path
) -> None:
    presets = tmp_path / "presets.toml"
    presets.write_text(PRESETS)
    (tmp_path / "sitecustomize.py").write_text(NO_MODELS)
    environment = {
        "PHOTO_PRESETS_FILE": str(presets),
        "PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}",
        "PHOTO_RETRY_DELAYS_S": "0.1",
    }
    api = await fleet.start_api("api,workers", environment=environment)
    told = [line for line in api.log.read_text().splitlines() if "stage.incomplete" in line]
    assert len(told) == 1
    assert "pip install 'photo-pipeline[detect]'" in told[0]
    photo_id = await fleet.upload(api, SAMPLES / "astronaut.jpg", preset="street")

    async def failed() -> bool:
        return bool((await fleet.status(api, photo_id))["status"] == "failed")

    await until(failed)
    document = await fleet.status(api, photo_id)
    assert document["error"]["code"] == "blur_unavailable", document["error"]
    assert document["error"]["stage"] == "detect"
    assert document["renditions"] == []
    for name in ("original", "640", "320", "640-watermarked"):
        async with fleet.http.get(f"{api.url}/photos/{photo_id}/{name}") as answer:
            assert answer.status == 403
