"""Case files in memory, and dead letters to make some of."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from photo_pipeline.domain.casefile import CaseEntry, CaseFile, CaseState, open_case, photo_id_of
from photo_pipeline.domain.messages import first_message
from photo_pipeline.domain.photo import Photo, utc_now
from photo_pipeline.errors import UnknownDeadLetterError
from photo_pipeline.storage.dead_letters import GROUPS, CaseGroup, CaseSelection
from support.pipeline import TRACE


class FakeDeadLetters:
    """The store of the case files."""

    def __init__(self) -> None:
        self.cases: dict[str, CaseFile] = {}

    async def ensure_indexes(self) -> None:
        return None

    async def file(self, case: CaseFile) -> bool:
        if case.id in self.cases:
            return False
        self.cases[case.id] = case
        return True

    async def get(self, case_id: str) -> CaseFile:
        if case_id not in self.cases:
            raise UnknownDeadLetterError(f"no dead letter {case_id}")
        return self.cases[case_id]

    def _selected(self, selection: CaseSelection) -> list[CaseFile]:
        before = selection.before
        found = [
            case
            for case in self.cases.values()
            if selection.state in (None, case.state)
            and selection.stage in (None, case.stage)
            and selection.fingerprint in (None, case.fingerprint)
            and (before is None or (case.filed_at, case.id) < (before.filed_at, before.id))
        ]
        return sorted(found, key=lambda case: (case.filed_at, case.id), reverse=True)

    async def page(self, selection: CaseSelection, limit: int) -> list[CaseFile]:
        return self._selected(selection)[:limit]

    async def groups(self, selection: CaseSelection) -> list[CaseGroup]:
        alike: defaultdict[str, list[CaseFile]] = defaultdict(list)
        for case in self._selected(selection):
            alike[case.fingerprint].append(case)
        groups = [
            CaseGroup(
                fingerprint=fingerprint,
                count=len(cases),
                first_died_at=min(case.died_at for case in cases),
                last_died_at=max(case.died_at for case in cases),
                latest=cases[0],
            )
            for fingerprint, cases in sorted(alike.items())
        ]
        groups.sort(key=lambda group: (group.count, group.last_died_at), reverse=True)
        return groups[:GROUPS]

    async def oldest(self, selection: CaseSelection) -> AsyncIterator[CaseFile]:
        for case in reversed(self._selected(selection)):
            yield case

    async def close(self, case_id: str, entry: CaseEntry) -> CaseFile:
        case = await self.get(case_id)
        if case.state is CaseState.OPEN:
            changes = {"state": entry.action, "history": (*case.history, entry)}
            self.cases[case_id] = case.model_copy(update=changes)
        return self.cases[case_id]


def died(code: str = "unexpected_error", **more: Any) -> dict[str, Any]:
    """Return the headers of a dead letter."""
    told = {
        "code": code,
        "message": "ZeroDivisionError: division by zero",
        "type": "ZeroDivisionError",
        "frames": "stages.first._transform",
        "traceback": "Traceback …",
    } | more
    headers = {f"x-error-{name}": value for name, value in told.items() if value is not None}
    return {
        **headers,
        "x-worker": "worker-1",
        "x-version": "1.2.3",
        "x-died-at": "2026-01-01T00:00:00.500000+00:00",
        "x-attempt": 4,
        "traceparent": TRACE,
    }


def make_case(  # whatever a message among the dead letters may be
    photo: Photo | None = None,
    *,
    stage: str = "first",
    body: bytes | None = None,
    headers: Mapping[str, Any] | None = None,
    message_id: str | None = "m",
    at: datetime | None = None,
) -> CaseFile:
    """Return the case of a dead letter, which is about *photo* unless *body* says otherwise."""
    if body is None:
        assert photo is not None
        body = first_message(photo).model_copy(update={"stage": stage}).encode()
    return open_case(
        stage=stage,
        body=body,
        headers=died() if headers is None else headers,
        message_id=message_id,
        photo_id=photo_id_of(body, None),
        photo=photo,
        at=at or utc_now(),
    )
