"""Progress of long commands: a bar with rate and time left on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

__all__ = ["advance", "progress_bar"]

_LINE_EVERY_S = 10.0
_LINE = "{desc}: {n_fmt} of {total_fmt}, {rate_fmt}, {remaining} left"


class _Lines(tqdm):
    """A bar that writes lines: nothing in the first ten seconds, nothing when it is closed."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line; closing asks for an empty one, which is left out."""
        if msg != "":
            self.fp.write(f"{msg or self}\n")

    def clear(self, nolock: bool = False) -> None:
        """Lines stay."""

    def refresh(self, nolock: bool = False, lock_args: Any = None) -> None:
        """Do not repeat the line when something else is written (which is what ``nolock`` tells)."""
        if not nolock:
            super().refresh(lock_args=lock_args)


def progress_bar(total: int | None, *, doing: str, unit: str, scaled: bool = False) -> tqdm:
    """A bar to ``update``, for a ``with`` statement.

    Args:
        total: how many there are; None when not known yet.
        doing: what is being done, for people.
        unit: what is counted.
        scaled: whether to write 12.3M instead of 12,300,000.
    """
    options: dict[str, Any] = {"total": total, "desc": doing, "unit": unit, "unit_scale": scaled, "file": sys.stderr}
    if sys.stderr.isatty():
        return tqdm(**options)
    return _Lines(**options, bar_format=_LINE, mininterval=_LINE_EVERY_S, delay=_LINE_EVERY_S, miniters=1, leave=False)


def advance(bar: tqdm) -> Callable[[int, int | None], None]:
    """What tells a bar how far the work is: how many are done by now, of how many."""

    def show(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return show
