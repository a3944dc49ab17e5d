"""What is made of a message found among the dead letters, whatever it is."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from photo_pipeline.domain.casefile import (
    BODY_BYTES,
    CaseState,
    case_id,
    photo_id_of,
)
from photo_pipeline.domain.messages import first_message
from photo_pipeline.domain.origin import fingerprint, origin_of
from photo_pipeline.domain.status import PhotoStatus
from photo_pipeline.errors import Origin, UnexpectedError, UnreadableImageError
from photo_pipeline.stages import load
from support.casefiles import died, make_case
from support.pipeline import make_photo

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DEATH = {"queue": "first", "reason": "delivery_limit", "count": 1, "time": NOON}
RETRY = {"queue": "photos.retry.5", "reason": "expired", "count": 3, "time": NOON}


def test_a_case_tells_who_gave_up_what_when_and_why() -> None:
    photo = make_photo(status=PhotoStatus.FAILED)
    case = make_case(photo)
    assert (case.state, case.photo_id, case.attempts) == (CaseState.OPEN, photo.id, 4)
    assert (case.worker, case.version) == ("worker-1", "1.2.3")
    assert case.died_at == datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
    assert (case.error.code, case.error.type) == ("unexpected_error", "ZeroDivisionError")
    assert case.error.frames == ("stages.first._transform",)
    assert case.photo is not None
    assert (case.photo.filename, case.photo.status) == ("photo.jpg", PhotoStatus.FAILED)
    assert set(case.message.headers) == {"x-attempt", "traceparent"}


def test_the_id_is_that_of_the_message_and_of_nothing_else() -> None:
    body = b"body"
    assert case_id("first", "m", body) == case_id("first", "m", body)
    ids = {case_id(s, m, b) for s in ("a", "b") for m in ("m", "n", None) for b in (body, b"")}
    assert len(ids) == 12
    work = first_message(make_photo())
    again = make_case(body=work.replayed().encode()), make_case(body=work.encode())
    assert again[0].id != again[1].id, "the second death of a replayed message is another case"


@pytest.mark.parametrize(
    ("headers", "code", "died_at"),
    [
        ({"x-death": [DEATH]}, "delivery_limit", NOON),
        ({"x-death": [DEATH, RETRY]}, "delivery_limit", NOON),
        ({"x-death": [RETRY]}, "no_reason", NOON),
        ({"x-death": "none"}, "no_reason", None),
        ({"x-death": [7, {"reason": None}]}, "None", None),
        ({}, "no_reason", None),
    ],
)
def test_what_the_broker_gave_up_has_its_reason(
    headers: dict[str, Any], code: str, died_at: datetime | None
) -> None:
    case = make_case(make_photo(), headers=headers, at=NOON.replace(hour=13))
    assert (case.error.code, case.error.type, case.worker) == (code, None, None)
    assert case.died_at == (died_at or case.filed_at)
    assert case.attempts == 1  # as its body tells


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\x00",
        b"null",
        b"[1]",
        b'{"photo_id": 7, "attempt": "x"}',
        b'{"photo_id": "\\ud800", "attempt": 99999999999999999999}',
        b"[" * 100_000,
        b"x" * (BODY_BYTES + 1),
    ],
    ids=range(8),
)
def test_any_body_can_be_filed(body: bytes) -> None:
    headers: dict[str, Any] = {
        "x-error-code": 7,
        "x-died-at": "soon",
        "x-odd": [{"a": [{"b": [[1]]}]}, b"\xff", NOON, object()],
    }
    case = make_case(body=body, headers=headers)
    assert case.message.bytes == len(body)
    assert len(case.message.body) <= BODY_BYTES
    assert case.attempts is None
    json.dumps(dict(case.message.headers))


def test_the_photo_is_the_one_of_the_body_else_of_the_property() -> None:
    assert photo_id_of(b'{"photo_id": "a"}', "b") == "a"
    assert photo_id_of(b"junk", "b") == "b"
    assert photo_id_of(b"junk", None) is None


def _raise(number: int) -> None:
    # In the package and by the same function, so that only text and line differ.
    stage = load("resize")
    stage.transform({"original": bytes(number)}, stage.parameters(sizes=(number + 1,)))


def test_like_failures_have_one_fingerprint_and_others_another() -> None:
    found = []
    for number in (3, 4):
        with pytest.raises(UnreadableImageError) as raised:
            _raise(number)
        found.append(origin_of(raised.value))
    assert found[0] == found[1]
    assert found[0].type == "UnreadableImageError"
    assert found[0].frames[0].startswith("stages.resize.")
    assert not [frame for frame in found[0].frames if any(c.isdigit() for c in frame)]
    prints = {
        fingerprint(stage, code, Origin(kind, frames))
        for stage in ("a", "b")
        for code in ("c", "d")
        for kind in ("E", "F")
        for frames in ((), ("m.f",), ("m.f", "m.g"))
    }
    assert len(prints) == 24
    assert {len(each) for each in prints} == {16}


def test_the_origin_of_an_error_from_another_process_is_the_one_it_told() -> None:
    error = UnexpectedError("ZeroDivisionError: 1/0")
    error.origin = Origin("ZeroDivisionError", ("stages.resize._scale",))
    assert origin_of(error) == error.origin


def test_the_cause_tells_where_it_began() -> None:
    with pytest.raises(UnreadableImageError) as raised:
        _raise(3)
    later = UnexpectedError("later")
    later.__cause__ = raised.value
    assert origin_of(later) == Origin("UnexpectedError", origin_of(raised.value).frames)


def test_the_fingerprint_survives_the_way_over_the_headers() -> None:
    origin = Origin("ZeroDivisionError", ("stages.first._transform",))
    case = make_case(make_photo(), headers=died())
    assert case.fingerprint == fingerprint("first", "unexpected_error", origin)
    other = make_case(make_photo(), headers=died(message="other text", traceback=None))
    assert other.fingerprint == case.fingerprint
