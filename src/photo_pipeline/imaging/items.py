"""One piece of metadata, whatever standard it is written in."""

import unicodedata
from dataclasses import dataclass
from typing import Final

from photo_pipeline.domain.metadata import MAX_FIELD, Group

BIDI_CONTROLS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Could show a text in another order than it is written in."""
CONTROLS: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


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
        " " if unicodedata.category(char) in CONTROLS or _is_no_character(char) else char
        for char in text[: 2 * MAX_FIELD]
        if char not in BIDI_CONTROLS
    )
    return " ".join("".join(kept).split())[:MAX_FIELD].strip()


def names(text: str) -> str:
    """Return a list of names, parted by semicolons, without empty ones."""
    return "; ".join(name for name in clean(text).split("; ") if name)


def _is_no_character(char: str) -> bool:
    """Say whether Unicode (23.7) reserves *char* for never being one; XML forbids some of them."""
    return ord(char) & 0xFFFE == 0xFFFE or "\ufdd0" <= char <= "\ufdef"  # noqa: PLR2004


def decoded(data: bytes) -> str:
    """Return text of unknown encoding: UTF-8, or else Latin-1."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
