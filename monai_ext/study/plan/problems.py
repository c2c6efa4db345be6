"""Everything that is wrong with a plan, gathered and told at once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from monai_ext.errors import StudyError

__all__ = ["Problems", "nearest"]

_SHOWN = 40


class Problems:
    """A list of sentences.

    >>> problems = Problems("a.json")
    >>> problems.add("tasks", "there is none.")
    >>> problems.refuse()
    Traceback (most recent call last):
        ...
    monai_ext.errors.StudyError: The plan a.json cannot be run; nothing was started:
      tasks: there is none.
    """

    def __init__(self, plan: str) -> None:
        self.plan = plan
        self.found: list[str] = []

    def add(self, place: str, sentence: str) -> None:
        """Note a problem at a place of the plan."""
        self.found.append(f"{place}: {sentence}" if place else sentence)

    def try_to(self, place: str, work: Callable[[], Any], *errors: type[Exception]) -> Any:
        """Do something that may refuse; None, and a note, when it does."""
        try:
            return work()
        except errors as error:
            self.add(place, str(error))
            return None

    def unknown_keys(self, place: str, keys: Mapping[str, Any], accepted: Collection[str]) -> None:
        """Note every key that is not accepted, with the nearest one that is."""
        for key in keys:
            if key not in accepted:
                self.add(place, f"there is no key {key!r}{nearest(key, accepted)}.")

    def refuse(self) -> None:
        """Raise what was found.

        Raises:
            StudyError: there is a problem.
        """
        if self.found:
            more = [f"  ... and {len(self.found) - _SHOWN} more"] if len(self.found) > _SHOWN else []
            listed = "\n".join([*(f"  {sentence}" for sentence in self.found[:_SHOWN]), *more])
            raise StudyError(f"The plan {self.plan} cannot be run; nothing was started:\n{listed}")


def nearest(name: str, accepted: Collection[str]) -> str:
    """What to say beside an unknown name: the one that was probably meant, or all that there are.

    >>> nearest("fractoins", ["fractions", "folds"])
    " (did you mean 'fractions'?)"
    """
    found = difflib.get_close_matches(str(name), list(accepted), n=1, cutoff=0.6)
    return f" (did you mean {found[0]!r}?)" if found else f"; accepted are {', '.join(accepted)}"
