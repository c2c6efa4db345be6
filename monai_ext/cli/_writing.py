"""What a command says when the disk refuses its results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["writing_to"]


@contextmanager
def writing_to(output: str | Path, what: str) -> Iterator[None]:
    """Turn what the disk says into a sentence.

    Args:
        output: where to.
        what: is written there, such as ``"features"``.

    Raises:
        ValueError: for an :class:`OSError`.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"Writing {what} to {output}: {error.strerror or error}. Free space, or name another folder."
        ) from error
