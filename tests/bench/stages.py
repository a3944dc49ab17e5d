"""Measure the stages' own code: CPU time a photo, against plain Pillow and libvips, in one run.

Every way works on the same photos, in turns, so that a busy machine slows all of them; the
median of the rounds counts. Quality is told beside the times: the structural similarity of each
rendition to plain Pillow's. Run by ``make bench``.
"""

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import rivals
from bench.photos import SETS, make_photos
from photo_pipeline.domain.stage import ORIGINAL
from photo_pipeline.stages import load

PHOTOS: Final = {"S": 12, "M": 6, "L": 4}
ROUNDS: Final = 5
CLEAR: Final = 95  # JPEG quality at which similarities are taken
WINDOW: Final = 8  # pixels a side of the blocks in which structure is compared

Renditions = Mapping[str, bytes]


def run_stage(name: str, known: Renditions, **preset: Any) -> dict[str, bytes]:
    """Return what the stage *name* makes, with its defaults where *preset* has nothing."""
    stage = load(name)
    parameters = stage.parameters(**preset)
    inputs = {wanted: known[wanted] for wanted in stage.reads(parameters)}
    return {p.name: p.data for p in stage.transform(inputs, parameters).pictures}


def measure(photos: list[bytes], rounds: int) -> dict[str, float]:
    """Return CPU milliseconds a photo of each way, medians over *rounds*."""
    logo = Image.new("RGBA", (400, 80), (255, 255, 255, 150))
    made = [run_stage("resize", {ORIGINAL: photo}) for photo in photos]
    ways: dict[str, Callable[[int], Any]] = {
        "resize: plain Pillow": lambda i: rivals.plain_resize(photos[i]),
        "resize: libvips": lambda i: rivals.vips_resize(photos[i]),
        "resize": lambda i: run_stage("resize", {ORIGINAL: photos[i]}),
        "watermark: plain Pillow": lambda i: rivals.plain_watermark(made[i], logo),
        "watermark: decode and encode": lambda i: rivals.recoded(made[i]),
        "watermark": lambda i: run_stage("watermark", made[i]),
        "detect: plain Pillow": lambda i: rivals.plain_detect(made[i]["640"]),
        "detect": lambda i: run_stage("detect", made[i], detectors=()),
        "detect: and its models": lambda i: run_stage("detect", made[i]),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            start = time.process_time()
            for i in range(len(photos)):
                work(i)
            times[way].append((time.process_time() - start) * 1000 / len(photos))
    return {way: statistics.median(taken) for way, taken in times.items()}


def similarity(one: bytes, other: bytes) -> float:
    """Return the structural similarity (Wang et al. 2004) of two JPEGs, by blocks of luma."""
    a, b = (Image.open(io.BytesIO(data)).convert("L") for data in (one, other))
    a = a.resize(b.size, Image.Resampling.BICUBIC) if a.size != b.size else a
    x, y = (_blocks(np.asarray(image, np.float64)) for image in (a, b))
    mean_x, mean_y = x.mean(axis=-1), y.mean(axis=-1)
    covariance = (x * y).mean(axis=-1) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (x.var(axis=-1) + y.var(axis=-1) + c2)
    )
    return float(values.mean())


def _blocks(luma: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    down, across = (side // WINDOW for side in luma.shape)
    cut = luma[: down * WINDOW, : across * WINDOW].reshape(down, WINDOW, across, WINDOW)
    return cut.swapaxes(1, 2).reshape(down, across, WINDOW * WINDOW)


def report(name: str, photos: list[bytes], rounds: int) -> dict[str, Any]:
    """Return times, ratios and similarities for one set."""
    times = measure(photos, rounds)
    # At a quality that hides the least: else the encoder's loss is most of what differs.
    ours = run_stage("resize", {ORIGINAL: photos[0]}, quality=CLEAR)
    sizes = {side: Image.open(io.BytesIO(data)).size for side, data in ours.items()}
    plain = rivals.plain_resize(photos[0], CLEAR, sizes)
    vips = rivals.vips_resize(photos[0], CLEAR)
    total = {
        way: sum(times[f"{stage}{way}"] for stage in ("resize", "watermark", "detect"))
        for way in (": plain Pillow", "")
    }
    return {
        "set": name,
        "mean_bytes": round(statistics.mean(map(len, photos))),
        "cpu_ms": {way: round(taken, 2) for way, taken in times.items()},
        "ratios": {
            "resize, plain Pillow / ours": times["resize: plain Pillow"] / times["resize"],
            "resize, libvips / ours": times["resize: libvips"] / times["resize"],
            "watermark, ours / decode and encode": times["watermark"]
            / times["watermark: decode and encode"],
            "three stages, plain Pillow / ours": total[": plain Pillow"] / total[""],
        },
        "ssim_to_plain": {
            side: {
                "ours": similarity(ours[side], plain[side]),
                "libvips": similarity(vips[side], plain[side]),
            }
            for side in plain
        },
    }


def show(found: Mapping[str, Any]) -> None:
    """Print one set's report."""
    kind = SETS[found["set"]]
    print(f"{found['set']}: {kind.width} x {kind.height}, {found['mean_bytes'] / 1e6:.2f} MB")
    for way, taken in found["cpu_ms"].items():
        print(f"  {taken:8.1f} ms CPU  {way}")
    for what, ratio in found["ratios"].items():
        print(f"  {ratio:8.2f}         {what}")
    for side, ssim in found["ssim_to_plain"].items():
        print(f"  {ssim['ours']:8.4f} SSIM    {side} (libvips {ssim['libvips']:.4f})")


def main() -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default="S,M,L", help="which sets, by their letters")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    arguments = parser.parse_args()
    reports = []
    for name in arguments.sets.split(","):
        found = report(name, make_photos(name, PHOTOS[name]), arguments.rounds)
        reports.append(found)
        show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
