"""A stage of the test's own in the place of ``resize``: it has three faults."""

import os
from pathlib import Path

from photo_pipeline.stages import resize
from support.processes import ROOT

_BROKEN = '''
"""Resize, broken in three ways; which one a photo meets follows from the width in its PNG."""
import importlib.util
from dataclasses import replace
from photo_pipeline.errors import UnreadableImageError

spec = importlib.util.spec_from_file_location("real_resize", REAL)
real = importlib.util.module_from_spec(spec)
spec.loader.exec_module(real)

def _share(width):
    return width / (width - width)  # the text of this error is the same, its place is not

def _scale(width):
    return 1 / (width - width)

def transform(inputs, parameters):
    width = int.from_bytes(inputs["original"][16:20])
    if width % 3 == 0:
        raise UnreadableImageError(f"a photo of {width} pixels is not to the taste of this stage")
    return _share(width) if width % 3 == 1 else _scale(width)

STAGE = replace(real.STAGE, transform=transform)
'''


def break_resize(folder: Path) -> dict[str, str]:
    """Return the environment in which ``resize`` is broken; the source tree stays as it is."""
    folder.mkdir()
    assert resize.__file__ is not None
    (folder / "resize.py").write_text(_BROKEN.replace("REAL", repr(resize.__file__)))
    (folder / "sitecustomize.py").write_text(
        f"import photo_pipeline.stages as stages; stages.__path__.insert(0, {str(folder)!r})"
    )
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "src")])}
