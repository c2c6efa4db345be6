"""Values of a plan, each checked for its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_ext.study.plan.problems import Problems

__all__ = ["PlanReader"]


class PlanReader:
    """Reads keys of one part of a plan and notes what does not fit.

    Args:
        problems: where to note.
        place: of the part, for people.
        content: the part.
        keys: that it may have.
    """

    def __init__(self, problems: Problems, place: str, content: Any, keys: Sequence[str]) -> None:
        self.problems, self.place = problems, place
        if not isinstance(content, Mapping):
            problems.add(place, f"an object with keys is expected, received {content!r}.")
            content = {}
        self.content: Mapping[str, Any] = content
        problems.unknown_keys(place, {k: v for k, v in content.items() if not k.startswith("_")}, keys)

    def _at(self, key: str) -> str:
        return f"{self.place}::{key}" if self.place else key

    def _wrong(self, key: str, expected: str) -> None:
        self.problems.add(self._at(key), f"{expected} is expected, received {self.content[key]!r}.")

    def text(self, key: str, default: str | None) -> str | None:
        """A text that is not empty, or null."""
        value = self.content.get(key, default)
        if key in self.content and value is not None and not (isinstance(value, str) and value):
            self._wrong(key, "a text")
            return default
        return value

    def whole(self, key: str, default: int | None, *, least: int = 1) -> int | None:
        """A whole number, or null."""
        value = self.content.get(key, default)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            self._wrong(key, f"a whole number from {least}")
            return default
        return value

    def number(self, key: str, default: float) -> float:
        """A number above 0."""
        value = self.content.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            self._wrong(key, "a number above 0")
            return default
        return float(value)

    def object(self, key: str) -> dict[str, Any]:
        """An object; empty when missing."""
        value = self.content.get(key, {})
        if not isinstance(value, Mapping):
            self._wrong(key, "an object")
            return {}
        return dict(value)

    def fractions(self, key: str, default: Sequence[float]) -> tuple[float, ...]:
        """Different numbers within (0, 1], largest first."""
        return self._numbers(key, default, lambda v: isinstance(v, int | float) and 0 < v <= 1, "fractions in (0, 1]")

    def wholes(self, key: str, default: Sequence[int], *, least: int) -> tuple[int, ...]:
        """Different whole numbers, largest first."""
        return self._numbers(key, default, lambda v: isinstance(v, int) and v >= least, f"whole numbers from {least}")

    def names(self, key: str, accepted: Sequence[str]) -> tuple[str, ...] | None:
        """Names among those accepted; None for all."""
        value = self.content.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not value:
            self._wrong(key, "a list of names")
            return None
        self.problems.unknown_keys(self._at(key), dict.fromkeys(map(str, value)), accepted)
        return tuple(str(name) for name in value)

    def _numbers(self, key: str, default: Sequence[Any], fits: Any, expected: str) -> tuple[Any, ...]:
        value = self.content.get(key, default)
        good = isinstance(value, list | tuple) and all(not isinstance(v, bool) and fits(v) for v in value)
        if not good or len(set(value)) < len(value):
            self._wrong(key, f"a list of different {expected}")
            return tuple(default)
        return tuple(sorted(value, reverse=True))
