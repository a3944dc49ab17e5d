"""The walk-through of the README, run as written."""

import asyncio
import re
import sys
from pathlib import Path

from PIL import Image

from support.processes import ROOT, Fleet

README = (ROOT / "README.md").read_text()


async def _run(*command: str, cwd: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, (command, out, err)
    return out.decode()


async def test_the_walk_through_works_as_written(fleet: Fleet, tmp_path: Path) -> None:
    api = await fleet.start_api("api,workers,subscribers")
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    part = README.split("## A photo's way, by hand")[1].split("## How it works")[0]
    blocks = re.findall(r"```sh\n(.*?)```", part, flags=re.DOTALL)
    script = "\n".join(b for b in blocks if "photo-pipeline" not in b)
    script = script.replace("http://localhost:8000", api.url)
    out = await _run("bash", "-euo", "pipefail", "-c", script, cwd=tmp_path)
    told = re.findall(r'"id":"[^"]+","status":"(\w+)"', out)
    listed = ["done"] * 2
    twice = ["queued"] * 2
    assert told == ["queued", "done", *listed, "queued", "done", "done", "deleted", *twice], out
    assert '"stages":[{"stage":"resize"' in out
    with Image.open(tmp_path / "watermarked.jpg") as image:
        assert image.size == (600, 400)
    original = (tmp_path / "original.jpg").read_bytes()
    assert original == (ROOT / "samples" / "coffee-gps.jpg").read_bytes()
    *_, photo_id, first, repeat = re.findall(r'"id":"([^"]+)"', out)
    assert first == repeat
    (program,) = re.findall(r"```python\n(.*?)```", part, flags=re.DOTALL)
    url = f"{api.url.replace('http', 'ws')}/ws/{photo_id}?since=0"
    frames = (await _run(sys.executable, "-c", program, url, cwd=tmp_path)).splitlines()
    assert '"photo.queued"' in frames[0]
    assert len([frame for frame in frames if '"photo.done"' in frame]) == 2
    assert '"photo.deleted"' in frames[-1]
    submit = [sys.executable, "-m", "photo_pipeline", "submit", "samples/cat-small.jpg"]
    out = await _run(*submit, "--url", api.url, cwd=tmp_path)
    assert "1 done" in out
