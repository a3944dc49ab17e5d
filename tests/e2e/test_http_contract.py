"""Every answer that the OpenAPI document promises, provoked; each is checked as it comes.

The check itself hangs on the client of every ``Fleet``: see ``support.http_contract``.
"""

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from support.http_contract import Answered, HttpContract, http_contract
from support.processes import SAMPLES, Fleet, RoleProcess, Space
from support.waiting import until

PHOTO = SAMPLES / "cat-small.jpg"
LARGE = SAMPLES / "dandelion-16mp.jpg"
PRESETS = """
[proof]
watermark = { unmarked = "withheld" }
[gated]
gate = "hold"
"""
NOBODY = "mongodb://127.0.0.1:1/none"

UNPROVOKED = {
    ("uploadPhoto", 408): "takes a minute of silence",
    ("uploadPhoto", 409): "takes two at a time: tests/e2e/test_idempotency.py",
}
"""What is promised and not provoked here, with the reason; nor is 500, which is a bug."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request and the status with which it must be answered; ``{done}`` is a photo's id."""

    status: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    body: bytes | None = None


FILES = [
    case
    for path in ("/photos/{done}/original", "/photos/{done}/640", "/review/{gated}/original")
    for case in (
        Case(200, path),
        Case(200, path, method="HEAD"),
        Case(206, path, {"Range": "bytes=0-9"}),
        Case(304, path, {"If-None-Match": "*"}),
        Case(412, path, {"If-Match": '"other"'}),
        Case(416, path, {"Range": "bytes=99999999-"}),
    )
]

DECIDE = "/review/{gated}"
RERUN = "/photos/{done}/reprocess"

CASES = [
    *FILES,
    Case(200, "/photos?limit=1"),
    Case(400, "/photos?limit=0"),
    Case(200, "/photos?label=cat&faces=0&color=grey"),
    Case(400, "/photos?color=colourful"),
    Case(200, "/photos/{done}/duplicates"),
    Case(404, "/photos/nothing/duplicates"),
    Case(410, "/photos/{deleted}/duplicates"),
    Case(410, "/photos/{deleted}/original"),
    Case(410, "/photos/{deleted}/640"),
    Case(410, "/review/{deleted}/original"),
    Case(200, "/review?limit=1"),
    Case(400, "/review?limit=0"),
    Case(404, "/review/{gated}/poster"),
    Case(409, "/review/{done}/original"),
    Case(409, "/photos/{shut}/original"),
    Case(200, DECIDE, method="POST", body=b'{"verdict": "reject", "by": "ada"}'),
    Case(403, "/photos/{gated}/640"),
    Case(400, DECIDE, method="POST", body=b"{}"),
    Case(413, DECIDE, method="POST", body=bytes(10_000)),
    Case(404, "/review/nothing", method="POST", body=b'{"verdict": "reject", "by": "ada"}'),
    Case(409, "/review/{shut}", method="POST", body=b'{"verdict": "reject", "by": "ada"}'),
    Case(410, "/review/{deleted}", method="POST", body=b'{"verdict": "reject", "by": "ada"}'),
    Case(202, "/photos/{deleted}", method="DELETE"),
    Case(404, "/photos/nothing", method="DELETE"),
    Case(400, RERUN, method="POST", body=b"[]"),
    Case(413, RERUN, method="POST", body=bytes(10_000)),
    Case(422, RERUN, method="POST", body=b'{"from_stage": "poster"}'),
    Case(404, "/photos/nothing/reprocess", method="POST"),
    Case(409, "/photos/{waiting}/reprocess", method="POST"),
    Case(410, "/photos/{deleted}/reprocess", method="POST"),
    Case(200, "/events/{failed}"),
    Case(204, "/events/{failed}", {"Last-Event-ID": "4"}),
    Case(400, "/events/{failed}?since=-1"),
    Case(404, "/events/nothing"),
    Case(400, "/ws"),
    Case(200, "/presets"),
    Case(200, "/queues"),
    Case(404, "/photos/nothing/original"),
    Case(404, "/photos/nothing/640"),
    Case(404, "/photos/{done}/poster"),
    Case(404, "/photos/{lost}/original"),
    Case(403, "/photos/{proof}/original"),
    Case(403, "/photos/{proof}/640"),
    Case(409, "/photos/{waiting}/640"),
    Case(200, "/status/{done}"),
    Case(200, "/status/{failed}/"),
    Case(200, "/status/{waiting}", method="HEAD"),
    Case(304, "/status/{done}", {"If-None-Match": "*"}),
    Case(400, "/status/{done}?wait=soon"),
    Case(404, "/status/nothing"),
    Case(405, "/status/{done}", method="PUT"),
    Case(400, "/ws/{done}"),
    Case(400, "/ws/{done}?since=-1"),
    Case(404, "/ws/nothing"),
    Case(200, "/healthz"),
    Case(200, "/readyz"),
    Case(200, "/metrics"),
    Case(200, "/metrics", {"Accept": "application/openmetrics-text"}),
    Case(200, "/dead?limit=1&state=any"),
    Case(400, "/dead?limit=0"),
    Case(400, "/dead?state=lost"),
    Case(400, "/dead?cursor=lost"),
    Case(200, "/dead/{letter}"),
    Case(404, "/dead/nothing"),
    Case(400, "/dead/replay", method="POST", body=b"[]"),
    Case(413, "/dead/replay", method="POST", body=bytes(10_000)),
    Case(404, "/dead/replay", method="POST", body=b'{"fingerprint": "no", "dry_run": true}'),
    Case(503, "/dead/replay", method="POST", body=b'{"dry_run": true}'),
    Case(404, "/dead/nothing/replay", method="POST"),
    Case(404, "/dead/nothing", method="DELETE"),
    Case(202, RERUN, method="POST", body=b"{}"),  # at the end: it is queued from here on
    Case(202, "/dead/{letter}/replay", method="POST"),  # and so is the one that had failed
    Case(409, "/dead/{letter}/replay", method="POST"),
    Case(409, "/dead/replay", method="POST", body=b'{"dry_run": true}'),
    Case(202, "/dead/replay", method="POST"),
    Case(200, "/dead/{obsolete}", method="DELETE"),
]

UPLOADS: list[tuple[int, bytes, Mapping[str, str]]] = [
    (202, PHOTO.read_bytes(), {"metadata": '{"album": "cats"}', "focal_point": "0.5,0.25"}),
    (400, PHOTO.read_bytes(), {"focal_point": "2,0"}),
    (413, bytes(300_000), {}),
    (415, b"<html></html>", {}),
    (422, b"", {}),
]


async def test_every_answer_that_is_promised_is_given(
    fleet: Fleet, space: Space, tmp_path: Path
) -> None:
    contract = http_contract()
    presets = tmp_path / "presets.toml"
    presets.write_text(PRESETS)
    contract.seen.clear()
    environment = {"PHOTO_MAX_UPLOAD_BYTES": "200000", "PHOTO_PRESETS_FILE": str(presets)}
    api = await fleet.start_api("api,workers,reconcile", environment=environment)
    ids = {"done": await fleet.upload(api, PHOTO), "failed": await _truncated(fleet, api)}
    ids["gated"] = await fleet.upload(api, PHOTO, preset="gated")
    assert (await fleet.outcome(api, ids["gated"]))["moderation"]["verdict"] == "passed"
    gone = await _truncated(fleet, api)
    assert (await fleet.outcome(api, ids["done"]))["status"] == "done"
    assert (await fleet.outcome(api, ids["failed"]))["status"] == "failed"
    letters = await until(lambda: _letters(fleet, api, 2))
    assert letters is not None
    ids |= {"letter": letters[ids["failed"]], "obsolete": letters[gone]}
    await _ask(fleet, api, Case(202, f"/photos/{gone}", method="DELETE"), ids)
    dry_run = Case(200, "/dead/replay", method="POST", body=b'{"dry_run": true}')
    await _ask(fleet, api, dry_run, ids)
    mine = {"X-Request-ID": "mine"}
    async with fleet.http.ws_connect(f"{api.url}/ws/{ids['done']}", headers=mine) as socket:
        assert socket._response.headers["X-Request-ID"] == "mine"
    async with fleet.http.ws_connect(f"{api.url}/ws", headers=mine):
        pass
    assert await api.terminate() == 0
    api = await fleet.start_api(environment=environment)
    ids["shut"] = await fleet.upload(api, PHOTO, preset="gated")
    ids["proof"] = await fleet.upload(api, PHOTO, preset="proof")
    ids["waiting"] = await fleet.upload(api, PHOTO)
    ids["lost"] = await fleet.upload(api, PHOTO)
    ids["deleted"] = await fleet.upload(api, PHOTO)
    await _ask(fleet, api, Case(202, "/photos/{deleted}", method="DELETE"), ids)
    next(path for path in space.files() if ids["lost"] in path.parts).unlink()
    for case in CASES:
        await _ask(fleet, api, case, ids)
    for status, content, fields in UPLOADS:
        assert await _upload(fleet, api, content, fields) == status
    await _without_the_database(fleet)
    _check_complete(contract)


async def _ask(fleet: Fleet, api: RoleProcess, case: Case, ids: Mapping[str, str]) -> None:
    url = f"{api.url}{case.path.format(**ids)}"
    async with fleet.http.request(case.method, url, headers=case.headers, data=case.body) as answer:
        assert answer.status == case.status, (case, await answer.text(errors="replace"))


async def _letters(fleet: Fleet, api: RoleProcess, count: int) -> dict[str, str] | None:
    """Return the ids of the dead letters by photo, once there are *count*."""
    async with fleet.http.get(f"{api.url}/dead") as answer:
        items = (await answer.json())["items"]
    return {each["photo_id"]: each["id"] for each in items} if len(items) == count else None


async def _upload(fleet: Fleet, api: RoleProcess, content: bytes, fields: Mapping[str, str]) -> int:
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, value)
    form.add_field("file", io.BytesIO(content), filename="photo.jpg")
    async with fleet.http.post(f"{api.url}/upload/", data=form) as answer:
        return answer.status


async def _truncated(fleet: Fleet, api: RoleProcess) -> str:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(PHOTO.read_bytes()[:20_000]), filename="photo.jpg")
    async with fleet.http.post(f"{api.url}/upload/", data=form) as answer:
        return str((await answer.json())["id"])


async def _without_the_database(fleet: Fleet) -> None:
    api = await fleet.start_api(environment={"PHOTO_MONGO_URL": NOBODY}, ready=False)

    async def listening() -> bool:
        try:
            async with fleet.http.get(f"{api.url}/healthz") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectorError:
            return False

    await until(listening)
    paths = (
        "/status/a",
        "/photos/a/duplicates",
        "/review",
        "/review/a/640",
        "/photos/a/original",
        "/photos/a/640",
        "/ws/a",
        "/readyz",
        "/photos",
    )
    cases = [Case(503, path) for path in (*paths, "/events/a", "/queues", "/dead", "/dead/a")]
    cases += [Case(503, path, method="POST") for path in ("/dead/replay", "/dead/a/replay")]
    cases += [Case(503, "/dead/a", method="DELETE")]
    body = b'{"verdict": "reject", "by": "ada"}'
    cases += [Case(503, "/review/a", method="POST", body=body)]
    cases += [Case(503, "/photos/a", method="DELETE")]
    cases += [Case(503, "/photos/a/reprocess", method="POST")]
    asked = asyncio.gather(*(_ask(fleet, api, case, {}) for case in cases))
    status, _ = await asyncio.gather(_upload(fleet, api, PHOTO.read_bytes(), {}), asked)
    assert status == 503


def _check_complete(contract: HttpContract) -> None:
    provoked = {operation for operation, _ in contract.seen}
    promised = {
        (operation["operationId"], int(status))
        for item in contract.document["paths"].values()
        for operation in item.values()
        for status in operation["responses"]
        if operation["operationId"] in provoked and status != "500"
    }
    assert promised - contract.seen == set(UNPROVOKED) & promised


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (Answered(418, {}, "text/plain", b"tea"), "tells nothing of 418"),
        (Answered(200, {}, "application/json", b"{}"), "X-Request-ID"),
        (Answered(200, {"X-Request-ID": "1"}, "text/html", b"<p>"), "no text/html"),
        (Answered(200, {"X-Request-ID": "1"}, "application/json", b"{}"), "required property"),
        (
            Answered(
                200, {"X-Request-ID": "1"}, "application/json", b'{"status": "ok", "more": 1}'
            ),
            "Additional properties",
        ),
    ],
)
def test_what_is_not_promised_is_found(answer: Answered, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        http_contract().check("GET", "/healthz", answer)
