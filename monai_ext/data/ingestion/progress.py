"""Says how far an ingestion is: a bar on a terminal, a line now and then elsewhere; never a file's name."""

from __future__ import annotations

import logging
import shutil
import sys
import time

from tqdm import tqdm

__all__ = ["Progress"]

logger = logging.getLogger(__name__)

_LINE_EVERY_S = 10.0


class Progress:
    """Counts files and slices, with the rate and the time that is left.

    Args:
        total: number of files.
        doing: what is being done, for people.
    """

    def __init__(self, total: int, *, doing: str) -> None:
        self._total, self._doing = total, doing
        self._files = self._slices = 0
        self._started_s = self._shown_s = time.monotonic()
        is_terminal = sys.stderr is not None and sys.stderr.isatty()
        size = shutil.get_terminal_size((100, 24))  # that of a container may claim to be 0, and the bar would be hidden
        shape = {"ncols": size.columns, "nrows": size.lines}
        self._bar = tqdm(total=total, desc=doing, unit=" files", **shape) if is_terminal else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, *, files: int = 0, slices: int = 0) -> None:
        """Count what was done."""
        self._files += files
        self._slices += slices
        if self._bar is not None:
            if slices:
                rate = self._slices / max(1e-9, time.monotonic() - self._started_s)
                self._bar.set_postfix_str(f"{self._slices:,} slices, {rate:.0f}/s", refresh=False)
            self._bar.update(files)
        elif time.monotonic() - self._shown_s >= _LINE_EVERY_S:
            self._shown_s = time.monotonic()
            logger.info("%s", self.line())

    def line(self) -> str:
        """One line: files, slices, rate, time left."""
        elapsed = max(1e-9, time.monotonic() - self._started_s)
        left = f"{(self._total - self._files) * elapsed / self._files:.0f} s left" if self._files else "just begun"
        return (
            f"{self._doing}: {self._files:,} of {self._total:,} files, {self._slices:,} slices,"
            f" {self._files / elapsed:.0f} files/s, {self._slices / elapsed:.0f} slices/s, {left}"
        )
