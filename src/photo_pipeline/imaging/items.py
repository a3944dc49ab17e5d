"""One piece of metadata, whatever standard it is written in."""

import unicodedata
from dataclasses import dataclass
from typing import Final

from photo_pipeline.domain.metadata import MAX_FIELD, Group

BIDI_CONTROLS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Could show a text in another order than it is written in."""
DROPPED: Final = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Item:
    """What a file says in one place: its group, the field that it fills (if any), its value."""

    group: Group
    field: str = ""
    value: str = ""


def clean(text: str) -> str:
    """Return *text* as one line of at most MAX_FIELD characters, all of which can be shown.

    Control characters become spaces; what XML 1.0 forbids and what turns the direction of
    writing goes.
    """
    kept = (
        " " if unicodedata.category(char) in DROPPED else char
        for char in text[: 2 * MAX_FIELD]
        if char not in BIDI_CONTROLS
    )
    return " ".join("".join(kept).split())[:MAX_FIELD].strip()


def decoded(data: bytes) -> str:
    """Return text of unknown encoding: UTF-8, or else Latin-1."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
