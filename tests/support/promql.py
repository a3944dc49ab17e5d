"""What a PromQL expression names: enough of its grammar to compare it with the code."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_METRIC: Final = re.compile(r"\b((?:photo|rabbitmq|process)_\w+|up)\b(?:\{(.*?)\})?")
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")')
_BY: Final = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on a label."""

    label: str
    operator: str
    value: str

    def matches(self, value: str) -> bool:
        """Say whether a label with this value is selected."""
        hit = re.fullmatch(self.value, value) if "~" in self.operator else self.value == value
        return bool(hit) is not self.operator.startswith("!")


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric and its conditions."""

    metric: str
    matchers: tuple[Matcher, ...]


def selectors(expression: str) -> Iterator[Selector]:
    """Yield what an expression selects."""
    for name, inside in _METRIC.findall(expression):
        matchers = (Matcher(a, b, json.loads(c)) for a, b, c in _MATCHER.findall(inside))
        yield Selector(name, tuple(matchers))


def groupings(expression: str) -> set[str]:
    """Return the labels that an expression groups or joins by."""
    return {
        label.strip()
        for group in _BY.findall(expression)
        for label in group.split(",")
        if label.strip()
    }
