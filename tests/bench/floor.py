"""The floor: processes that run this project's own stages on files, with nothing around them."""

import multiprocessing
import os
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final

from bench.stages import run_stage
from photo_pipeline.domain.stage import ORIGINAL

MARKED: Final = ("2048", "1280")
LOOKED_AT: Final = "1280"
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1"}  # as the sandbox gives to its children
Span = tuple[float, float, float]


def floor(originals: list[Path], folder: Path, processes: int = 2) -> tuple[float, float]:
    """Return photos/s of *processes* together and CPU milliseconds a photo, without models."""
    os.environ.update(ONE_THREAD)
    spawning = multiprocessing.get_context("spawn")
    together = spawning.Barrier(processes)
    spans: multiprocessing.Queue[Span] = spawning.Queue()
    shares = [originals[i::processes] for i in range(processes)]
    workers = [
        spawning.Process(target=_work, args=(share, folder / str(i), together, spans))
        for i, share in enumerate(shares)
    ]
    for worker in workers:
        worker.start()
    starts, ends, cpu_s = zip(*(spans.get() for _ in workers), strict=True)
    for worker in workers:
        worker.join()
    return len(originals) / (max(ends) - min(starts)), sum(cpu_s) * 1000 / len(originals)


def _work(
    originals: list[Path], folder: Path, together: Barrier, spans: "multiprocessing.Queue[Span]"
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _three_steps(originals[0], folder)  # imports, and what is kept between photos
    together.wait()
    start, cpu = time.monotonic(), time.process_time()
    for original in originals:
        _three_steps(original, folder)
    spans.put((start, time.monotonic(), time.process_time() - cpu))


def _three_steps(original: Path, folder: Path) -> None:
    for name, data in run_stage("resize", {ORIGINAL: original.read_bytes()}).items():
        (folder / name).write_bytes(data)
    marked = run_stage("watermark", {name: (folder / name).read_bytes() for name in MARKED})
    for name, data in marked.items():
        (folder / name).write_bytes(data)
    run_stage("detect", {LOOKED_AT: (folder / LOOKED_AT).read_bytes()}, detectors=())
