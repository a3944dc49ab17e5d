"""What a detector is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, Protocol, TypeVar

from PIL import Image

from photo_pipeline.inference.model import Unavailable

Thresholds = Mapping[str, float]
Facts = Mapping[str, Any]

SCORE_DIGITS: Final = 3
"""Of scores: beyond, processors differ."""

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """Whatever looks, ready, and the SHA-256 of its model."""

    sight: S
    sha256: str


class Detector(Protocol):
    """One thing that looks at pictures with a trained model.

    ``version`` is raised whenever the facts of the same picture, model and thresholds change.
    """

    @property
    def name(self) -> str:
        """Return the name in presets and facts."""

    @property
    def version(self) -> int:
        """Return the version of how it looks."""

    def available(self) -> str | None:
        """Return why it cannot look, or None; quick, for nothing is loaded."""

    def warm(self) -> Unavailable | None:
        """Load the model, once in this process; return why there is none. Never raises."""

    @property
    def sha256(self) -> str | None:
        """Return the SHA-256 of its model, None without one."""

    def detect(self, picture: Image.Image, thresholds: Thresholds) -> Facts:
        """Return what it sees in an upright RGB picture, as JSON values by name.

        Boxes and points are fractions of the picture's width and height. Only for a detector
        that is warm. May raise anything.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDetector(Generic[S]):
    """A Detector out of three functions; ``load`` is one made by ``once``."""

    name: str
    version: int
    missing: Callable[[], Unavailable | None]
    load: Callable[[], Loaded[S] | Unavailable]
    look: Callable[[S, Image.Image, Thresholds], Facts]

    def available(self) -> str | None:
        """Return why it cannot look, or None, without loading anything."""
        absent = self.missing()
        return absent.reason if absent else None

    def warm(self) -> Unavailable | None:
        """Load the model; return why there is none."""
        loaded = self.load()
        return loaded if isinstance(loaded, Unavailable) else None

    @property
    def sha256(self) -> str | None:
        """Return the SHA-256 of the model, None without one."""
        loaded = self.load()
        return None if isinstance(loaded, Unavailable) else loaded.sha256

    def detect(self, picture: Image.Image, thresholds: Thresholds) -> Facts:
        """Return what is seen; RuntimeError without a model."""
        loaded = self.load()
        if isinstance(loaded, Unavailable):
            raise RuntimeError(loaded.reason)  # noqa: TRY004  # whoever asks has not warmed it
        return self.look(loaded.sight, picture, thresholds)


def once(
    load: Callable[[], Loaded[S] | Unavailable],
) -> Callable[[], Loaded[S] | Unavailable]:
    """Return *load* with its first result for good, and any exception as a reason.

    A model that is damaged, or too large for the process, must not end a worker that has
    other work; nor is it read again for every photo.
    """

    @cache
    def loaded() -> Loaded[S] | Unavailable:
        try:
            return load()
        except Exception as error:  # noqa: BLE001  # whatever it is: no model
            return Unavailable(f"the model cannot be loaded: {type(error).__name__}: {error}")

    return loaded
