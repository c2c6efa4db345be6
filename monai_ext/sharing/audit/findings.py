"""What an audit found: where, how grave, why, in the order of gravity."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

__all__ = ["Finding", "Level", "Reporter"]


class Level(enum.IntEnum):
    """How grave a finding is; the larger the graver."""

    NOTE = 0
    """An ordinary idiom that is worth knowing: nothing to decide."""
    UNKNOWN = 1
    """Not on the list of what is known to be harmless: somebody has to look at it."""
    REFUSED = 2
    """It executes code, leaves the bundle's folder, or hides something: do not run it."""


@dataclass(frozen=True, order=True)
class Finding:
    """One place in a bundle, and what is to be said about it.

    Args:
        level: how grave it is.
        file: path in the bundle.
        place: id in a config, line, or entry; empty for the whole file.
        rule: short name of the rule, stable between versions.
        text: what stands there, shortened.
        reason: why it is reported, as a sentence.
    """

    level: Level
    file: str
    place: str
    rule: str
    text: str
    reason: str


LONGEST_TEXT = 160


@dataclass
class Reporter:
    """Collects the findings of one file."""

    file: str
    findings: list[Finding] = field(default_factory=list)
    _known: set[Finding] = field(default_factory=set, repr=False)

    def add(self, level: Level, rule: str, reason: str, *, place: str = "", text: object = "") -> None:
        """Note a finding; the same one twice counts once."""
        shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(text))
        shown = shown if len(shown) <= LONGEST_TEXT else shown[: LONGEST_TEXT - 1] + "…"
        finding = Finding(level, self.file, place, rule, shown, reason)
        if finding not in self._known:
            self._known.add(finding)
            self.findings.append(finding)

    def refuse(self, rule: str, reason: str, *, place: str = "", text: object = "") -> None:
        """Note something that must not be run."""
        self.add(Level.REFUSED, rule, reason, place=place, text=text)

    def question(self, rule: str, reason: str, *, place: str = "", text: object = "") -> None:
        """Note something that is not known."""
        self.add(Level.UNKNOWN, rule, reason, place=place, text=text)

    def note(self, rule: str, reason: str, *, place: str = "", text: object = "") -> None:
        """Note an ordinary idiom."""
        self.add(Level.NOTE, rule, reason, place=place, text=text)
