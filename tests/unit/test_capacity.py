"""deploy/CAPACITY.md computes what it says, and the manifests have room for it."""

import re
from math import ceil
from typing import Final

import pytest

from photo_pipeline.domain.pipeline import PIPELINE, SUBSCRIBERS
from support.manifests import DEPLOY, PRODUCTION, named, of_kind, roles

TEXT: Final = (DEPLOY / "CAPACITY.md").read_text()
DAY_S: Final = 86_400
TARGET_WAIT_S: Final = 10.0
"""One more replica for as many waiting photos as one works off in this time."""

Figures = dict[str, float]


def _figures() -> Figures:
    rows = re.findall(r"^\| ((?:\w+) of (?:\w+)) \| ([\d.]+) \|", TEXT, flags=re.MULTILINE)
    return {name: float(value) for name, value in rows}


def _assumption(pattern: str) -> float:
    (found,) = re.findall(pattern, " ".join(TEXT.split()))
    return float(found)


PEAK: Final = _assumption(r"\*\*(\d+)\*\* times the mean")
UTILISATION: Final = _assumption(r"busy \*\*(\d+)\*\* %") / 100
MINIMUM: Final = {
    "resize": _assumption(r"at least \*\*(\d+)\*\* resize"),
    **dict.fromkeys(("api", "watermark", "detect"), _assumption(r"and \*\*(\d+)\*\* each of api")),
}


def _others() -> int:
    (line,) = re.findall(r"others: (.*)$", TEXT, flags=re.MULTILINE)
    return sum(int(n) for n in re.findall(r"\d+", line))


def _needs(photos_per_day: float) -> dict[str, float]:
    f = _figures()
    rate = photos_per_day / DAY_S * PEAK
    seconds = {role: f[f"time of {role}"] / 1000 for role in MINIMUM}
    replicas = {
        role: max(MINIMUM[role], ceil(rate * seconds[role] / UTILISATION)) for role in MINIMUM
    }
    memory = sum(replicas[role] * f[f"memory of {role}"] for role in MINIMUM)
    memory += _others() * f["memory of others"]
    published = f["messages of work"] + f["messages of outcome"] + f["messages of status"]
    delivered = f["messages of work"] + f["messages of outcome"] * 3
    delivered += f["messages of status"] * replicas["api"]
    return {
        "rate": rate,
        **{f"replicas of {role}": replicas[role] for role in MINIMUM},
        "cores": rate * sum(seconds.values()) / UTILISATION,
        "memory": memory / 1024,
        "disk": photos_per_day * (f["size of original"] + f["size of renditions"]) / 1000,
        "documents": photos_per_day * f["size of document"] / 1e6,
        "published": rate * published,
        "delivered": rate * delivered,
        "writes": rate * f["writes of MongoDB"],
    }


def _table() -> dict[str, list[str]]:
    _, _, needs = TEXT.partition("## Needs")
    rows = re.findall(
        r"^\| ([\w ]+) \| ([\d. ]+) \| ([\d. ]+) \| ([\d. ]+) \|", needs, flags=re.MULTILINE
    )
    return {name: values for name, *values in rows}


def _shown(value: float) -> str:
    """Write a number as the table does: three digits that count, thousands apart."""
    if value == int(value) and value < 1000:
        return str(int(value))
    digits = 2 if value < 1 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}".replace(",", " ")


def _columns() -> list[float]:
    (header,) = re.findall(r"^\| need \|(.*)\| unit \|$", TEXT, flags=re.MULTILINE)
    return [float(re.sub(r"\D", "", cell)) for cell in header.split("|")]


@pytest.mark.parametrize("column", range(3))
def test_the_table_follows_from_the_figures(column: int) -> None:
    needs = _needs(_columns()[column])
    told = {name: values[column] for name, values in _table().items()}
    assert told == {name: _shown(value) for name, value in needs.items()}


def test_three_subscribers_and_the_minimum_are_those_of_the_manifests() -> None:
    assert set(SUBSCRIBERS) <= {"notify", "archive", "monitor"}
    usual = {name: w.manifest["spec"]["replicas"] for name, w in roles("base").items()}
    assert {role: usual[role] for role in MINIMUM} == MINIMUM
    others = [w for name, w in roles(PRODUCTION).items() if name not in MINIMUM]
    assert sum(w.manifest["spec"]["replicas"] for w in others) == _others()


def test_the_largest_column_fits_what_may_be_scaled_to() -> None:
    needs = _needs(max(_columns()))
    for thing in of_kind(PRODUCTION, "ScaledObject"):
        name = thing["metadata"]["name"]
        assert thing["spec"]["maxReplicaCount"] >= needs[f"replicas of {name}"]
    (autoscaler,) = of_kind(PRODUCTION, "HorizontalPodAutoscaler")
    assert autoscaler["spec"]["maxReplicas"] >= needs["replicas of api"]


@pytest.mark.parametrize("stage", PIPELINE)
def test_the_length_per_replica_is_ten_seconds_of_work(stage: str) -> None:
    (trigger,) = named(PRODUCTION, "ScaledObject", stage)["spec"]["triggers"]
    seconds = int(trigger["metadata"]["value"]) * _figures()[f"time of {stage}"] / 1000
    assert 0.75 * TARGET_WAIT_S <= seconds <= TARGET_WAIT_S


def test_usual_photos_fit_the_requests() -> None:
    figures = _figures()
    for name, workload in roles("base").items():
        used = figures.get(f"memory of {name}", figures["memory of others"])
        request = workload.main["resources"]["requests"]["memory"]
        assert int(request.removesuffix("Mi")) >= 1.5 * used, name
