"""What detect finds, in the example that runs through the OpenAPI document."""

from typing import Any, Final

_SHA256: Final = "deea010ba68af5bbafeba7fe31c4c3a31d7dd187194682d5358ec1f9d3311ddb"

DETECTION: Final[dict[str, Any]] = {
    "labels": [{"name": "lakeside", "score": 0.71}],
    "groups": [{"name": "boat", "score": 0.52}],
    "faces": [
        {
            "box": [0.3483, 0.1127, 0.177, 0.2292],
            "score": 0.998,
            "landmarks": {
                "left_eye": [0.3995, 0.1982],
                "right_eye": [0.4815, 0.2019],
                "nose": [0.4406, 0.2491],
                "mouth_left": [0.3948, 0.2761],
                "mouth_right": [0.4793, 0.2763],
            },
        }
    ],
    "unsafe": {"score": 0.004, "band": "ok"},
    "colours": [
        {"hex": "#2f4858", "share": 0.71, "name": "blue"},
        {"hex": "#f6ae2d", "share": 0.29, "name": "orange"},
    ],
    "sharpness": {"variance_of_laplacian": 312.5, "verdict": "sharp"},
    "exposure": {
        "mean": 0.4174,
        "clipped_shadows": 0.0128,
        "clipped_highlights": 0.0209,
        "verdict": "normal",
    },
    "perceptual_hash": {"algorithm": "dhash64", "value": "a097c56fbe7edcc6"},
    "dct_hash": {"algorithm": "phash64", "value": "a0e2583d3f4f87e0"},
    "detectors": {
        "labels": {
            "status": "run",
            "version": 1,
            "model_sha256": _SHA256,
            "thresholds": {"label": 0.15, "group": 0.4},
        },
        "faces": {
            "status": "run",
            "version": 1,
            "model_sha256": _SHA256,
            "thresholds": {"score": 0.9},
        },
        "unsafe": {
            "status": "run",
            "version": 1,
            "model_sha256": _SHA256,
            "thresholds": {"review": 0.2, "block": 0.8},
        },
        "objects": {"status": "not_run", "reason": "no model given"},
    },
    "timings_ms": {"labels": 21.6, "faces": 163.8, "unsafe": 37.0},
}
