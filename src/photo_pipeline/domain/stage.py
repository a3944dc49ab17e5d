"""What a stage is. Everything else about a stage is derived from its name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from photo_pipeline.domain.receipt import Receipt

TIMINGS: Final = "timings_ms"
"""Under which name facts tell what the making of them has cost."""
ORIGINAL: Final = "original"
"""The name under which a stage reads the untouched upload."""
PLACEHOLDER: Final = "placeholder"
"""The fact under which a stage gives the tiny picture that stands in for the photo."""


class Parameters(BaseModel):
    """Base of a stage's parameters: frozen, JSON-able, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=Parameters)

Box = tuple[float, float, float, float]
"""Left, top, width and height in fractions of the displayed picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Where the subject of one photo is, as far as anybody has said.

    ``focal_point`` is the uploader's word, as x and y in fractions of the displayed picture;
    ``faces`` are what an earlier run has found.
    """

    focal_point: tuple[float, float] | None = None
    faces: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An encoded picture that a stage has made; width and height in displayed pixels.

    ``format`` is a key of FORMATS. ``receipt`` says what was found when it was opened again.
    """

    name: str
    data: bytes
    width: int
    height: int
    format: str
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was done otherwise than asked, with a stable code: no reason to fail."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a stage makes: any number of pictures, and facts (JSON values) about the photo.

    ``timings_ms`` are CPU milliseconds by the name of what was done. They differ from run to
    run, so they are no facts, and count for nothing when outputs are compared.
    """

    pictures: tuple[Picture, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    timings_ms: Mapping[str, float] = field(default_factory=dict, compare=False)

    @property
    def recorded(self) -> Mapping[str, Any]:
        """Return the facts as they are kept: with the timings, if there are any."""
        return {**self.facts, TIMINGS: self.timings_ms} if self.timings_ms else self.facts


def _nothing() -> None:
    """Need no warm-up."""


def _no_ingredients(_: Any) -> Mapping[str, str]:
    return {}


def _nothing_missing() -> Mapping[str, str]:
    return {}


def _no_names(_: Any) -> tuple[str, ...]:
    return ()


def _as_in_the_preset(parameters: Any, _: Subject) -> Any:
    return parameters


def _judge_nothing(_: Any) -> str | None:
    return None


def _hide_nothing(_: Any, __: tuple[str, ...]) -> tuple[str, ...]:
    return ()


def _always(_: Mapping[str, Any]) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Generic[P]):
    """A pure transform from pictures to pictures, and what the pipeline must know about it.

    ``transform`` gets the bytes of every name that ``reads`` returned and must give the same
    output for the same input: outputs are stored under a hash of input, ``version`` and
    parameters. Raise ``version`` whenever the output for the same parameters changes.
    ``reads`` names the original or renditions of earlier stages, ``writes`` the renditions
    that ``transform`` makes. ``warm`` runs once in each child process before its first photo.

    ``for_photo`` completes a preset's parameters by what is known of one photo's subject; the
    result is what ``transform`` gets and what the recipe hash covers. ``withholds`` names, of
    the original and the renditions that earlier stages make (its second argument), those
    that must not be served. ``check`` looks at stored renditions again: it gets the bytes that
    the stage read, the bytes that it wrote, both by name, and returns a receipt for each.
    ``complete`` says of facts found earlier whether they are all there is to find: others are
    made anew by another run, though its recipe is the same. ``ingredients`` are what its outputs
    are made of beside that, by name, such as the SHA-256 of a model that the operator has chosen:
    the recipe hash covers them. ``missing`` says of what it could do with something that is not
    there, by name, why it is not. ``judge`` names, of what may be missing, that by which its facts
    say whether a photo may be shown (``domain/moderation.py``); None: they say nothing of that.
    """

    version: int
    parameters: type[P]
    transform: Callable[[Mapping[str, bytes], P], Output]
    reads: Callable[[P], tuple[str, ...]]
    writes: Callable[[P], tuple[str, ...]] = _no_names
    warm: Callable[[], None] = _nothing
    for_photo: Callable[[P, Subject], P] = _as_in_the_preset
    complete: Callable[[Mapping[str, Any]], bool] = _always
    ingredients: Callable[[P], Mapping[str, str]] = _no_ingredients
    missing: Callable[[], Mapping[str, str]] = _nothing_missing
    judge: Callable[[P], str | None] = _judge_nothing
    withholds: Callable[[P, tuple[str, ...]], tuple[str, ...]] = _hide_nothing
    check: Callable[[Mapping[str, bytes], Mapping[str, bytes], P], Mapping[str, Receipt]] | None = (
        None
    )
