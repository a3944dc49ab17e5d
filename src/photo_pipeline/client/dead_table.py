"""Dead letters for people: tables, and a case file as lines."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from photo_pipeline.client.files import printable

_UNLIMITED: Final = 10_000  # columns: what is no terminal has no right margin
_LABEL: Final = 13  # columns for the names in a case file

Json = dict[str, Any]


def print_list(console: Console, page: Json) -> None:
    """Print the groups, then the letters; plain off a terminal."""
    if not page["items"]:
        _write(console, Text("no dead letters"))
        return
    if page["groups"]:
        rows = [
            [
                *(group["fingerprint"], str(group["count"]), group["stage"], _kind(group)),
                *(_time(group["first_died_at"]), _time(group["last_died_at"])),
            ]
            for group in page["groups"]
        ]
        heads = ("Fingerprint", "Count", "Stage", "Error", "First died", "Last died")
        _write(console, _table(console, heads, rows), Text(""))
    rows = [
        [
            *(each["id"], each["state"], each["stage"], each["fingerprint"]),
            *(each["filename"] or each["photo_id"] or "-", _time(each["died_at"])),
        ]
        for each in page["items"]
    ]
    heads = ("ID", "State", "Stage", "Fingerprint", "Photo", "Died")
    _write(console, _table(console, heads, rows))
    if page["next_cursor"]:
        _write(console, Text(f"only the newest {len(rows)}; --limit shows more"))


def print_file(console: Console, file: Json) -> None:
    """Print one case file."""
    _write(console, *(line for label, value in _facts(file) for line in _lines(label, value)))


def print_trial(console: Console, trial: Json, fingerprint: str | None) -> None:
    """Print how a dry run went; *fingerprint* is that of the group that was tried."""
    where = f"{trial['stage']} on {trial['worker']} (version {trial['version']})"
    error = trial["error"]
    if error is None:
        told = f"works: photo {trial['photo_id']} in {where}, {trial['work_ms']} ms"
    else:
        how = "in the same way" if error["fingerprint"] == fingerprint else "in another way"
        how = how if fingerprint else f"with fingerprint {error['fingerprint']}"
        told = f"fails {how}: photo {trial['photo_id']} in {where}: {_kind(trial)}"
    _write(console, Text(printable(told)))


def _facts(file: Json) -> Iterator[tuple[str, str]]:
    error, message, photo = file["error"], file["message"], file["photo"]
    yield "id", file["id"]
    yield "state", file["state"]
    yield "stage", file["stage"]
    yield "fingerprint", file["fingerprint"]
    yield "error", _kind(file)
    yield "raised in", " > ".join(error["frames"]) or "-"
    yield "attempts", str(file["attempts"] or "-")
    yield "worker", f"{file['worker'] or '-'}, version {file['version'] or '-'}"
    yield "died", _time(file["died_at"])
    yield "photo", file["photo_id"] or "-"
    if photo is not None:
        size = f"{photo['width']}x{photo['height']}, {photo['bytes']} bytes"
        yield "", f"{photo['filename']}: {photo['content_type']}, {size}, {photo['status']}"
        yield "", f"sha256 {photo['sha256']}"
    body = message["body"]
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    yield "message", f"{message['id'] or '-'}, {message['bytes']} bytes, {message['encoding']}"
    yield "", text
    yield "headers", json.dumps(message["headers"], ensure_ascii=False)
    for entry in file["history"]:
        run = f", run {entry['run']}" if entry["run"] else ""
        yield "history", f"{_time(entry['at'])} {entry['action']}{run}"
    if error["traceback"]:
        yield "traceback", error["traceback"]


def _lines(label: str, value: str) -> Iterator[Text]:
    for number, line in enumerate(value.splitlines() or [""]):
        name = label if number == 0 else ""
        yield Text.assemble((f"{name:<{_LABEL}}", "bold"), printable(line))


def _kind(told: Json) -> str:
    error = told["error"]
    kind = f" ({error['type']})" if error["type"] else ""
    return f"{error['code']}{kind}: {error['message']}"


def _time(value: str) -> str:
    return datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M:%S")


def _table(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for head in heads:
        # What has to be copied is never folded.
        table.add_column(head, no_wrap=head in ("ID", "Fingerprint"))
    for row in rows:
        # Never as bare strings: rich would read markup in them, and file names hold anything.
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _write(console: Console, *parts: Table | Text) -> None:
    if console.is_terminal:
        console.print(*parts, sep="\n")
        return
    plain = Console(width=_UNLIMITED, color_system=None, force_terminal=False)
    with plain.capture() as captured:
        plain.print(*parts, sep="\n")
    for printed in captured.get().splitlines():
        console.file.write(f"{printed.rstrip()}\n")
    console.file.flush()
