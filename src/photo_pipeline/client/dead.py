"""``photo-pipeline dead``: the dead letters of a service, over HTTP."""

import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console

from photo_pipeline.client.answers import RefusedError, UnexpectedAnswerError, UnreachableError
from photo_pipeline.client.dead_table import print_file, print_list, print_trial
from photo_pipeline.client.files import printable
from photo_pipeline.client.service import Service, connected, shown_url

FAILED: Final = 1
WRONG_USE: Final = 2
_PAGE: Final = 200  # the longest that the service gives

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which dead letters are meant: those of *ids*, or those of *fingerprint*, or all."""

    ids: Sequence[str] = ()
    fingerprint: str | None = None
    everything: bool = False

    @property
    def fault(self) -> str | None:
        """What is wrong with it: exactly one of the three must be given."""
        if sum((bool(self.ids), self.fingerprint is not None, self.everything)) != 1:
            return "name dead letters by id, or give --fingerprint, or --all"
        return None


@dataclass(frozen=True, slots=True)
class _Output:
    """Where results and complaints go; ``status`` is the exit status so far."""

    as_json: bool
    out: Console = field(default_factory=lambda: Console(force_terminal=sys.stdout.isatty()))
    err: Console = field(default_factory=lambda: Console(stderr=True))

    def say(self, text: str) -> None:
        self.out.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def complain(self, text: str) -> None:
        self.err.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def json(self, value: object) -> None:
        self.out.file.write(f"{json.dumps(value, indent=2)}\n")
        self.out.file.flush()


@asynccontextmanager
async def _at(url: str) -> AsyncIterator[Service]:
    try:
        async with connected(url) as service:
            yield service
    except UnreachableError as error:
        shown = shown_url(url)
        raise UnreachableError(
            f"cannot reach {shown}: {error.message}; is the service running?"
        ) from error
    except RefusedError as error:
        raise RefusedError(error.problem_code, f"{error.problem_code}: {error.message}") from error
    except (KeyError, TypeError) as error:
        raise UnexpectedAnswerError(f"no answer about dead letters: {error!r}") from error


async def list_dead(
    *,
    url: str,
    fingerprint: str | None,
    stage: str | None,
    state: str,
    limit: int,
    as_json: bool,
) -> int:
    """Print the groups, and the newest *limit* letters; return the exit status."""
    asked = {"fingerprint": fingerprint, "stage": stage, "state": state, "limit": str(limit)}
    query = {name: value for name, value in asked.items() if value is not None}
    async with _at(url) as service:
        page = await service.call("GET", "dead", query=query)
    output = _Output(as_json)
    if as_json:
        output.json(page)
    else:
        print_list(output.out, page)
    return 0


async def show_dead(case_id: str, *, url: str, as_json: bool) -> int:
    """Print one case file; return the exit status."""
    async with _at(url) as service:
        file = await service.call("GET", "dead", case_id)
    output = _Output(as_json)
    if as_json:
        output.json(file)
    else:
        print_file(output.out, file)
    return 0


async def replay_dead(which: Which, *, dry_run: bool, url: str, as_json: bool) -> int:
    """Replay letters, or try one of a group out; return 0 if all of that went well, else 1."""
    output = _Output(as_json)
    fault = which.fault
    if fault is None and dry_run and which.ids:
        fault = "--dry-run tries a group: give --fingerprint or --all"
    if fault is not None:
        output.complain(fault)
        return WRONG_USE
    async with _at(url) as service:
        if which.ids:
            return await _each(service, output, which.ids, "POST", "replay")
        body = {} if which.fingerprint is None else {"fingerprint": which.fingerprint}
        if dry_run:
            return await _try_out(service, output, body)
        return await _replay_group(service, output, body)


async def _try_out(service: Service, output: _Output, body: Json) -> int:
    answer = await service.call("POST", "dead", "replay", body={**body, "dry_run": True})
    trial: Json = answer["trial"]
    if output.as_json:
        output.json(trial)
    else:
        print_trial(output.out, trial, body.get("fingerprint"))
    return FAILED if trial["error"] else 0


async def _replay_group(service: Service, output: _Output, body: Json) -> int:
    replayed: list[str] = []
    refused: dict[str, Json] = {}
    more = True
    while more:  # the service takes so many at a time
        answer = await service.call("POST", "dead", "replay", body=body)
        replayed += answer["replayed"]
        refused |= {each["id"]: each for each in answer["refused"]}
        more = answer["more"]
    if output.as_json:
        output.json({"replayed": replayed, "refused": [*refused.values()]})
    else:
        output.say(f"{len(replayed)} replayed, {len(refused)} refused")
    for each in refused.values():
        output.complain(f"{each['id']}: {each['code']}: {each['detail']}")
    return FAILED if refused else 0


async def discard_dead(which: Which, *, url: str, as_json: bool) -> int:
    """Discard letters; return 0 if all are gone, else 1."""
    output = _Output(as_json)
    if (fault := which.fault) is not None:
        output.complain(fault)
        return WRONG_USE
    async with _at(url) as service:
        ids = list(which.ids) or await _open_ids(service, which.fingerprint)
        return await _each(service, output, ids, "DELETE")


async def _open_ids(service: Service, fingerprint: str | None) -> list[str]:
    ids: list[str] = []
    query = {"limit": str(_PAGE)} | ({"fingerprint": fingerprint} if fingerprint else {})
    while True:
        page = await service.call("GET", "dead", query=query)
        ids += [each["id"] for each in page["items"]]
        if page["next_cursor"] is None:
            return ids
        query["cursor"] = page["next_cursor"]


async def _each(
    service: Service, output: _Output, ids: Sequence[str], method: str, *path: str
) -> int:
    """Do the same about every letter; a refusal of one is told and stops no other."""
    files: list[Json] = []
    status = 0
    for case_id in ids:
        try:
            files.append(await service.call(method, "dead", case_id, *path))
        except RefusedError as error:
            output.complain(f"{case_id}: {error.problem_code}: {error.message}")
            status = FAILED
    if output.as_json:
        output.json(files)
    else:
        for file in files:
            output.say(f"{file['id']}: {file['state']}")
    return status
