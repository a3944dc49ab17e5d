"""What a soak concludes from what it finds, and what it plans from a seed."""

import random
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from photo_pipeline.domain.changes import photo_done
from photo_pipeline.domain.messages import outcome_event
from photo_pipeline.domain.photo import Photo, Rendition, utc_now
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import SettingsError
from photo_pipeline.imaging.synthetic import synthetic_jpeg
from photo_pipeline.soak.disk import Disk, look
from photo_pipeline.soak.fleet import KILLABLE
from photo_pipeline.soak.plan import KINDS, Action, make_plan, parse_kinds
from photo_pipeline.soak.verdict import Evidence, judge
from support.pipeline import make_photo

DATA = b"photo"
CHECKSUM = sha256(DATA).hexdigest()


def _rendition(photo: Photo) -> Rendition:
    return Rendition(
        name="one",
        stage="first",
        width=1,
        height=1,
        format="jpeg",
        content_type="image/jpeg",
        bytes=len(DATA),
        sha256=CHECKSUM,
        key=f"renditions/{photo.id[-2:]}/{photo.id}/recipe/one.jpg",
    )


def _done() -> Photo:
    photo = make_photo(sha256=CHECKSUM)
    slot = photo.stages["first"].model_copy(update={"renditions": (_rendition(photo),)})
    ended = {
        "status": PhotoStatus.DONE,
        "position": None,
        "stages": {**photo.stages, "first": slot},
        "timeline": (*photo.timeline, photo_done(at=utc_now()).entry),
        "revision": 2,
    }
    return photo.model_copy(update=ended)


def _evidence(photo: Photo, **changes: Any) -> Evidence:
    found = Evidence(
        wanted=1,
        accepted={photo.id: CHECKSUM},
        photos={photo.id: photo},
        heard={photo.id: {outcome_event(photo).event_id: 1}} if photo.revision > 1 else {},
        nonsense=0,
        disk=Disk({}, (), (), 0),
        owed=frozenset(),
        left={"resize": 0},
    )
    return replace(found, **changes)


def test_a_photo_with_its_outcome_and_its_bytes_is_the_proof() -> None:
    verdict = judge(_evidence(_done()))
    assert verdict.proven
    assert verdict.line == "1 in = 1 terminal, 0 lost, 0 stuck, 0 duplicate outcomes"


def test_a_repeated_event_is_a_redelivery_and_another_one_a_duplicate() -> None:
    photo = _done()
    event_id = outcome_event(photo).event_id
    again = judge(_evidence(photo, heard={photo.id: {event_id: 3}}))
    assert again.proven
    assert again.redeliveries == 2
    other = judge(_evidence(photo, heard={photo.id: {event_id: 1, f"{photo.id}:9": 1}}))
    assert not other.proven
    assert "1 duplicate outcomes" in other.line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heard": {}}, "1 lost"),
        ({"photos": {}}, "1 lost"),
        ({"wanted": 2}, "1 of 2 never accepted"),
        ({"left": {"resize.dead": 1}}, "1 messages left"),
        ({"nonsense": 1}, "1 outcomes that do not parse"),
        ({"disk": Disk({}, ("renditions/x",), (), 0)}, "1 files that no document names"),
    ],
)
def test_every_difference_fails_the_proof_and_is_named(
    changes: Mapping[str, Any], said: str
) -> None:
    verdict = judge(_evidence(_done(), **changes))
    assert not verdict.proven
    assert said in verdict.line


def test_a_damaged_photo_is_lost() -> None:
    photo = _done()
    verdict = judge(_evidence(photo, disk=Disk({photo.id: ["damaged"]}, (), (), 0)))
    assert not verdict.proven
    assert dict(verdict.lost) == {photo.id: ["damaged"]}


def test_a_photo_on_its_way_is_stuck_even_if_its_upload_was_never_answered() -> None:
    photo, waiting = _done(), make_photo()
    verdict = judge(_evidence(photo, photos={photo.id: photo, waiting.id: waiting}))
    assert not verdict.proven
    assert (verdict.unanswered, len(verdict.stuck)) == (1, 1)
    assert "1 stuck" in verdict.line


def test_a_failed_photo_is_no_proof() -> None:
    failed = _done().model_copy(update={"status": PhotoStatus.FAILED})
    verdict = judge(_evidence(failed))
    assert not verdict.proven
    assert "1 failed" in verdict.line


def test_every_file_is_held_against_the_documents(tmp_path: Path) -> None:
    photo = _done()
    stray = make_photo()
    for key in (
        photo.original,
        *(rendition.key for rendition in photo.renditions),
        stray.original,
        f"renditions/{photo.id[-2:]}/{photo.id}/recipe/two.jpg",
        "tmp/half",
    ):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(DATA)
    photos, uploads = {photo.id: photo}, {photo.id: CHECKSUM}
    disk = look(tmp_path, photos, uploads)
    assert not disk.damaged
    assert [Path(key).name for key in disk.unnamed] == ["two.jpg"]
    assert list(disk.unanswered) == [stray.original]
    assert disk.temporary == 1

    assert look(tmp_path, photos, {photo.id: "other"}).damaged
    (tmp_path / photo.original).write_bytes(b"Photo")
    assert "damaged" in look(tmp_path, photos, uploads).damaged[photo.id][0]
    (tmp_path / photo.original).unlink()
    assert "missing" in look(tmp_path, photos, uploads).damaged[photo.id][0]


def test_a_plan_follows_from_its_seed_and_kills_every_kind() -> None:
    plan = make_plan(photos=60, kinds=KINDS, seed=1, workers=KILLABLE)
    assert plan == make_plan(photos=60, kinds=KINDS, seed=1, workers=KILLABLE)
    assert plan != make_plan(photos=60, kinds=KINDS, seed=2, workers=KILLABLE)
    killed = {fault.target for fault in plan.faults if fault.action is Action.KILL}
    assert {"broker", "mongo"} < killed
    assert killed & set(KILLABLE)
    assert all(0 <= fault.at_s + fault.for_s <= plan.duration_s for fault in plan.faults)


def test_leaving_a_kind_out_changes_no_other() -> None:
    every = make_plan(photos=100, kinds=KINDS, seed=1, workers=KILLABLE)
    one = make_plan(photos=100, kinds=["broker"], seed=1, workers=KILLABLE)
    assert one.faults == tuple(fault for fault in every.faults if fault.target == "broker")


def test_an_unknown_kind_is_refused() -> None:
    assert parse_kinds(" broker,mongo") == {"broker", "mongo"}
    with pytest.raises(SettingsError, match="disk"):
        parse_kinds("workers,disk")


def test_synthetic_photos_repeat_themselves_and_differ_from_each_other() -> None:
    first, again, other = (_synthetic(seed) for seed in (1, 1, 2))
    assert first == again != other
    with Image.open(BytesIO(first)) as image:
        image.load()
        assert image.format == "JPEG"


def _synthetic(seed: int) -> bytes:
    return synthetic_jpeg(random.Random(seed))  # noqa: S311  # it is to repeat itself
