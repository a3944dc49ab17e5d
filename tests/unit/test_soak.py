"""The soak's plan, and its verdict: every kind of difference is seen."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from photo_pipeline.domain.changes import photo_done
from photo_pipeline.domain.messages import outcome_event
from photo_pipeline.domain.photo import Photo, Rendition, StageSlot, utc_now
from photo_pipeline.domain.status import PhotoStatus, StageStatus
from photo_pipeline.errors import SettingsError
from photo_pipeline.soak.disk import look
from photo_pipeline.soak.fleet import KILLABLE
from photo_pipeline.soak.plan import BROKER, KINDS, MONGO, Action, make_plan, parse_kinds
from photo_pipeline.soak.verdict import Evidence, judge
from photo_pipeline.storage.blobs import rendition_key
from support.pipeline import make_photo

ORIGINAL, MADE = b"original", b"made"


def test_a_seed_is_a_plan_and_another_seed_another() -> None:
    first, again, other = (
        make_plan(photos=500, kinds=KINDS, seed=seed, workers=KILLABLE) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.faults != other.faults
    assert list(first.lines()) == list(again.lines())


@pytest.mark.parametrize("seed", range(1, 20))
@pytest.mark.parametrize("photos", [1, 60, 500])
def test_every_chosen_kind_is_killed_and_all_faults_are_over_with_the_load(
    photos: int, seed: int
) -> None:
    plan = make_plan(photos=photos, kinds=KINDS, seed=seed, workers=KILLABLE)
    killed = {fault.target for fault in plan.faults if fault.action is Action.KILL}
    assert {BROKER, MONGO} <= killed
    assert killed & set(KILLABLE)
    assert all(f.at_s >= 0 and f.at_s + f.for_s <= plan.duration_s for f in plan.faults)
    assert plan.faults == tuple(sorted(plan.faults))


def test_only_what_is_chosen_is_broken() -> None:
    everything = make_plan(photos=60, kinds=KINDS, seed=1, workers=KILLABLE).faults
    for kind in (BROKER, MONGO):
        chosen = make_plan(photos=60, kinds={kind}, seed=1, workers=KILLABLE).faults
        assert chosen == tuple(f for f in everything if f.target == kind)
    assert make_plan(photos=60, kinds=(), seed=1, workers=KILLABLE).faults == ()


def test_kinds_are_named() -> None:
    assert parse_kinds("workers, broker") == {"workers", "broker"}
    assert parse_kinds("") == frozenset()
    with pytest.raises(SettingsError, match=r"--kill: no such kind: disk; known: workers, broker"):
        parse_kinds("broker,disk")


@pytest.fixture
def photo(tmp_path: Path) -> Photo:
    """A photo that is done, with its bytes on the disk."""
    photo = make_photo(["first"])
    made = Rendition(
        name="one",
        stage="first",
        width=1,
        height=1,
        format="jpeg",
        content_type="image/jpeg",
        bytes=len(MADE),
        sha256=sha256(MADE).hexdigest(),
        key=rendition_key(photo.id, "recipe", "one", "jpg"),
    )
    photo = photo.model_copy(
        update={
            "status": PhotoStatus.DONE,
            "revision": 2,
            "position": None,
            "sha256": sha256(ORIGINAL).hexdigest(),
            "stages": {"first": StageSlot(status=StageStatus.DONE, renditions=(made,))},
            "timeline": (*photo.timeline, photo_done(at=utc_now()).entry),
        }
    )
    for key, data in ((photo.original, ORIGINAL), (made.key, MADE)):
        path = tmp_path / key
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    return photo


def _evidence(photo: Photo, root: Path) -> Evidence:
    accepted = {photo.id: sha256(ORIGINAL).hexdigest()}
    photos = {photo.id: photo}
    return Evidence(
        wanted=1,
        accepted=accepted,
        photos=photos,
        heard={photo.id: {outcome_event(photo).event_id: 1}},
        nonsense=0,
        disk=look(root, photos, accepted),
        owed=frozenset(),
        left={"resize": 0},
    )


def test_without_a_difference_it_is_proven(photo: Photo, tmp_path: Path) -> None:
    verdict = judge(_evidence(photo, tmp_path))
    assert verdict.proven
    assert verdict.line == "1 in = 1 terminal, 0 lost, 0 stuck, 0 duplicate outcomes"
    assert list(verdict.details()) == []


def test_the_same_event_delivered_again_is_no_duplicate(photo: Photo, tmp_path: Path) -> None:
    event_id = outcome_event(photo).event_id
    verdict = judge(replace(_evidence(photo, tmp_path), heard={photo.id: {event_id: 3}}))
    assert verdict.proven
    assert verdict.redeliveries == 2


def _with_photo(evidence: Evidence, **changes: object) -> Evidence:
    ((photo_id, photo),) = evidence.photos.items()
    return replace(evidence, photos={photo_id: photo.model_copy(update=changes)})


DIFFERENCES: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "never accepted": (lambda e: replace(e, wanted=2), "1 of 2 never accepted"),
    "no document": (lambda e: replace(e, photos={}), "1 in != 0 terminal, 1 lost"),
    "nobody was told": (lambda e: replace(e, heard={}), "1 in = 1 terminal, 1 lost"),
    "told twice": (
        lambda e: replace(e, heard={i: {**h, f"{i}:9": 1} for i, h in e.heard.items()}),
        "1 duplicate outcomes",
    ),
    "not at its end": (
        lambda e: _with_photo(e, status=PhotoStatus.PROCESSING),
        "1 in != 0 terminal, 0 lost, 1 stuck",
    ),
    "failed": (lambda e: _with_photo(e, status=PhotoStatus.FAILED), "1 failed"),
    "no rendition": (
        lambda e: _with_photo(e, stages={"first": StageSlot(status=StageStatus.DONE)}),
        "1 lost",
    ),
    "a message left": (lambda e: replace(e, left={"resize": 1}), "1 messages left"),
    "nonsense": (lambda e: replace(e, nonsense=1), "1 outcomes that do not parse"),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_every_difference_is_told(name: str, photo: Photo, tmp_path: Path) -> None:
    change, told = DIFFERENCES[name]
    verdict = judge(change(_evidence(photo, tmp_path)))
    assert not verdict.proven
    assert told in verdict.line
    assert verdict.as_json()["proven"] is False


def test_missing_damaged_and_unnamed_files_are_told(photo: Photo, tmp_path: Path) -> None:
    (rendition,) = photo.renditions
    (tmp_path / rendition.key).write_bytes(b"rotten")
    (tmp_path / photo.original).unlink()
    orphan = tmp_path / rendition_key(photo.id, "another", "one", "jpg")
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(MADE)
    verdict = judge(_evidence(photo, tmp_path))
    assert not verdict.proven
    assert "1 lost" in verdict.line
    assert "1 files that no document names" in verdict.line
    told = "\n".join(verdict.details())
    assert f"{photo.original} is missing" in told
    assert f"{rendition.key} is damaged" in told


def test_what_a_killed_upload_left_is_nobodys(photo: Photo, tmp_path: Path) -> None:
    other = make_photo()
    for key in ("tmp/abc", other.original):
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    evidence = _evidence(photo, tmp_path)
    assert (evidence.disk.temporary, list(evidence.disk.unanswered)) == (1, [other.original])
    assert judge(evidence).proven
