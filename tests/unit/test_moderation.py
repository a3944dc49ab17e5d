"""Verdicts: what detection and people say, and that what people say is told, once."""

from datetime import timedelta
from typing import Any, cast

import pytest

from photo_pipeline.broker.publisher import Publisher
from photo_pipeline.domain import changes
from photo_pipeline.domain.document import status_document
from photo_pipeline.domain.moderation import Gate, Moderation, Verdict, awaiting, decided, judged
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.domain.planning import Plans
from photo_pipeline.domain.preset import make_presets
from photo_pipeline.domain.rerun import rerun
from photo_pipeline.domain.stage import ORIGINAL, PLACEHOLDER
from photo_pipeline.domain.status import EventType, PhotoStatus, StageStatus
from photo_pipeline.domain.summary import summary
from photo_pipeline.errors import DetectionUnavailableError, InvalidPresetError
from photo_pipeline.metrics import Metrics
from photo_pipeline.stages import detect
from photo_pipeline.verdicts import tell_verdicts
from photo_pipeline.worker.debts import PATIENCE_S, pay_debts
from support.fakes import Cut, FakeBlobs, FakePhotos, FakePublisher, Scissors
from support.pipeline import make_photo

RUN = {"unsafe": {"status": "run"}}
ADA = "ada@example.org"


def looked(band: str) -> dict[str, Any]:
    return {"unsafe": {"score": 0.5, "band": band}, "detectors": RUN}


@pytest.mark.parametrize(
    ("gate", "facts", "verdict"),
    [
        (Gate.HOLD, looked("ok"), Verdict.PASSED),
        (Gate.HOLD, looked("review"), Verdict.REVIEW),
        (Gate.HOLD, looked("block"), Verdict.REVIEW),
        (Gate.BLOCK, looked("ok"), Verdict.PASSED),
        (Gate.BLOCK, looked("review"), Verdict.REVIEW),
        (Gate.BLOCK, looked("block"), Verdict.BLOCKED),
        # Nothing passes because nothing looked, whatever the facts seem to say.
        (Gate.HOLD, {}, Verdict.REVIEW),
        (Gate.HOLD, {"unsafe": {"score": 0.0, "band": "ok"}}, Verdict.REVIEW),
        (
            Gate.BLOCK,
            {**looked("ok"), "detectors": {"unsafe": {"status": "failed", "reason": "broken"}}},
            Verdict.REVIEW,
        ),
        (Gate.HOLD, looked("splendid"), Verdict.REVIEW),
    ],
)
def test_what_detection_says(gate: Gate, facts: dict[str, Any], verdict: Verdict) -> None:
    found = judged(Moderation(gate=gate), facts, utc_now())
    assert found.verdict is verdict
    assert found.released is (verdict is Verdict.PASSED)
    assert (found.reason is None) is (verdict is Verdict.PASSED)


def test_a_person_has_the_last_word() -> None:
    now = utc_now()
    doubted = judged(Moderation(gate=Gate.HOLD), looked("review"), now)
    rejected = decided(doubted, approve=False, by=ADA, reason="no", at=now)
    assert (rejected.verdict, rejected.by, rejected.reason) == (Verdict.REJECTED, ADA, "no")
    again = judged(rejected, looked("ok"), now + timedelta(1))
    assert (again.verdict, again.by, again.at, again.band) == (Verdict.REJECTED, ADA, now, "ok")
    assert awaiting(Gate.BLOCK, rejected) == rejected.model_copy(update={"gate": Gate.BLOCK})
    assert awaiting(Gate.HOLD, doubted) == Moderation(gate=Gate.HOLD)
    # A preset without a gate is no way around a person's rejection.
    assert awaiting(Gate.OFF, rejected) == rejected.model_copy(update={"gate": Gate.OFF})
    approved = decided(doubted, approve=True, by=ADA, reason=None, at=now)
    assert awaiting(Gate.OFF, approved) is awaiting(Gate.OFF, doubted) is None


STAGES = {"detect": detect.STAGE}


def presets(**table: Any) -> Any:
    table = {"detect": {"rendition": ORIGINAL}, **table}
    return make_presets({"default": table, "gated": table}, STAGES)


def test_a_preset_says_what_its_gate_does_and_has_another_version() -> None:
    off, hold = presets().named("gated"), presets(gate="hold").named("gated")
    assert (off.gate, hold.gate) == (Gate.OFF, Gate.HOLD)
    assert off.version == presets(gate="off").named("gated").version
    assert len({off.version, hold.version, presets(gate="block").named("gated").version}) == 3


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"gate": "shut"}, "gated.gate: one of off, hold, block"),
        ({"gate": ["hold"]}, "gated.gate: one of"),
        (
            {"gate": "hold", "detect": {"rendition": ORIGINAL, "detectors": ["faces"]}},
            "gated.gate: no stage looks",
        ),
    ],
)
def test_a_gate_that_nothing_could_open_is_a_fault(table: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidPresetError, match=fault):
        presets(**table)


def test_a_gate_is_refused_where_the_detector_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = Plans(presets(gate="hold"), STAGES)
    gated = plans.presets.named("gated")
    monkeypatch.setattr("photo_pipeline.inference.model.find_spec", lambda _: None)
    with pytest.raises(DetectionUnavailableError, match=r"unsafe: .*pip install"):
        plans.usable(gated)
    off = presets().named("gated")
    assert plans.usable(off) is off


def held(verdict: Verdict = Verdict.REVIEW, **more: Any) -> Photo:
    moderation = Moderation(gate=Gate.HOLD, verdict=verdict)
    photo = make_photo(status=PhotoStatus.DONE, moderation=moderation)
    slot = photo.stages["first"].model_copy(update={"facts": {PLACEHOLDER: "data:,"}})
    return photo.model_copy(update={"stages": {**photo.stages, "first": slot}, **more})


@pytest.mark.parametrize("verdict", list(Verdict))
def test_nothing_but_the_status_of_a_held_photo_is_told(verdict: Verdict) -> None:
    photo = held(verdict)
    shown = verdict in {Verdict.PASSED, Verdict.APPROVED}
    assert photo.withholds("640") is photo.withholds(ORIGINAL) is not shown
    for told in (status_document(photo), summary(photo)):
        assert (told.links.original is not None) is shown
        assert (told.placeholder is not None) is shown
        assert told.moderation == photo.moderation


class Service:
    """The durable rest, an API that decides, and ``reconcile``."""

    def __init__(self, photo: Photo) -> None:
        self.photo_id = photo.id
        self.photos = FakePhotos()
        self.publisher = FakePublisher(Scissors())

    def use(self, scissors: Scissors) -> None:
        self.photos._scissors = self.publisher.scissors = scissors

    async def decide(self, *, approve: bool) -> None:
        photo = await self.photos.get(self.photo_id)
        assert photo.moderation is not None
        now = max(utc_now(), photo.timeline[-1].at + timedelta(milliseconds=1))
        verdict = decided(photo.moderation, approve=approve, by=ADA, reason="why", at=now)
        change = changes.photo_judged(photo, verdict, at=now)
        result = await self.photos.apply(photo.id, photo.run, change)
        assert result.applied
        await tell_verdicts(result.photo, self.photos, cast("Publisher", self.publisher))

    async def recover(self) -> None:
        self.use(Scissors())
        document = self.photos._documents[self.photo_id]
        if "owed_since" in document:
            document["owed_since"] -= timedelta(seconds=2 * PATIENCE_S)
        for entry in document["timeline"]:
            entry["at"] -= timedelta(seconds=2 * PATIENCE_S)
        stop = cast("Any", type("Never", (), {"is_set": lambda _: False})())
        publisher = cast("Publisher", self.publisher)
        await pay_debts(self.photos, FakeBlobs(), publisher, Metrics(), stop)

    def told(self) -> list[tuple[str, EventType]]:
        return [(event.event_id, event.type) for event in self.publisher.outcomes]


async def service() -> Service:
    photo = held()
    made = Service(photo)
    await made.photos.insert(photo)
    await made.photos.paid(photo.id, photo.run)
    return made


async def test_a_changed_verdict_is_told_once_with_who_and_why() -> None:
    made = await service()
    await made.decide(approve=True)
    await made.decide(approve=False)
    photo = await made.photos.get(made.photo_id)
    assert made.told() == [
        (f"{photo.id}:2", EventType.PHOTO_APPROVED),
        (f"{photo.id}:3", EventType.PHOTO_REJECTED),
    ]
    assert [(e.by, e.reason) for e in photo.timeline[1:]] == [(ADA, "why")] * 2
    assert photo.status is PhotoStatus.DONE
    assert [p async for p in made.photos.owed(before=utc_now() + timedelta(1))] == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 4))
async def test_a_verdict_is_told_whenever_the_api_dies(at: int, *, after: bool) -> None:
    made = await service()
    made.use(Scissors(at, after=after))
    with pytest.raises(Cut):
        await made.decide(approve=True)
    await made.recover()
    photo = await made.photos.get(made.photo_id)
    assert photo.moderation is not None
    approved = photo.moderation.verdict is Verdict.APPROVED
    assert approved is ((at, after) != (1, False))
    # Repeated at most, with the same id: whoever listens drops repeats.
    expected = {(f"{photo.id}:2", EventType.PHOTO_APPROVED)} if approved else set()
    assert set(made.told()) == expected
    assert photo.owed_since is None


async def test_a_verdict_that_was_not_told_is_told_with_the_next_one() -> None:
    made = await service()
    made.use(Scissors(1, after=True))
    with pytest.raises(Cut):
        await made.decide(approve=True)
    made.use(Scissors())
    await made.decide(approve=False)
    assert [type_ for _, type_ in made.told()] == [
        EventType.PHOTO_APPROVED,
        EventType.PHOTO_REJECTED,
    ]


async def test_of_two_decisions_about_the_same_verdict_one_comes_first() -> None:
    made = await service()
    photo = await made.photos.get(made.photo_id)
    assert photo.moderation is not None
    for approve, applied in ((True, True), (False, False)):
        verdict = decided(photo.moderation, approve=approve, by=ADA, reason=None, at=utc_now())
        change = changes.photo_judged(photo, verdict, at=utc_now())
        assert (await made.photos.apply(photo.id, photo.run, change)).applied is applied


@pytest.mark.parametrize("gate_before", [None, Moderation(gate=Gate.HOLD, verdict=Verdict.PASSED)])
def test_a_run_behind_detection_goes_by_what_that_has_found(
    gate_before: Moderation | None,
) -> None:
    photo = make_photo(("detect", "late"), status=PhotoStatus.DONE, moderation=gate_before)
    done = {"status": StageStatus.DONE, "facts": looked("ok")}
    slots = {**photo.stages, "detect": photo.stages["detect"].model_copy(update=done)}
    photo = photo.model_copy(update={"stages": slots})
    gated = photo.preset.model_copy(update={"gate": Gate.HOLD})
    change = rerun(photo, preset=gated, pipeline=photo.pipeline, from_stage="late", at=utc_now())
    assert change.sets["moderation"]["verdict"] == Verdict.PASSED


def test_another_run_closes_the_gate_again_but_for_a_person() -> None:
    for verdict, stays in ((Verdict.PASSED, False), (Verdict.APPROVED, True)):
        photo = held(verdict)
        gated = photo.preset.model_copy(update={"gate": Gate.HOLD})
        change = rerun(photo, preset=gated, pipeline=photo.pipeline, from_stage=None, at=utc_now())
        expected = verdict if stays else Verdict.PENDING
        assert change.sets["moderation"]["verdict"] == expected
    photo = held(Verdict.APPROVED)
    ungated = rerun(
        photo, preset=photo.preset, pipeline=photo.pipeline, from_stage=None, at=utc_now()
    )
    assert ungated.sets["moderation"] is None
