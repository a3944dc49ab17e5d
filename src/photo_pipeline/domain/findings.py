"""What photos are searched by: a few words and numbers out of what detection has found."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from photo_pipeline.domain.likeness import bands


class Findings(BaseModel):
    """Kept beside a photo's facts, for the indexes alone.

    ``tags`` are the words of labels, groups and objects in lower case, ``faces`` is how many
    there are (None: nothing looked), ``colours`` their names. ``hash`` is the perceptual hash,
    ``bands`` are its parts.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    tags: tuple[str, ...] = ()
    faces: int | None = None
    colours: tuple[str, ...] = ()
    hash: str | None = None
    bands: tuple[str, ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """Return what is searched for in the *facts* of the stage ``detect``."""
        faces = facts.get("faces")
        value = facts.get("perceptual_hash", {}).get("value")
        return cls(
            tags=tuple(sorted(_words(facts))),
            faces=None if faces is None else len(faces),
            colours=tuple(dict.fromkeys(each["name"] for each in facts.get("colours", ()))),
            hash=value,
            bands=bands(value) if value else (),
        )


def _words(facts: Mapping[str, Any]) -> set[str]:
    """Return the words, each synonym of a label by itself."""
    kinds = (("labels", "name"), ("groups", "name"), ("objects", "label"))
    names = [each[key] for kind, key in kinds for each in facts.get(kind, ())]
    return {word for name in names for part in name.split(",") if (word := as_tag(part))}


def as_tag(text: str) -> str:
    """Return *text* as tags are compared."""
    return " ".join(text.casefold().split())
