"""Checkpoints as files in a folder: writing, naming, listing and choosing them."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ignite.handlers.checkpoint import BaseSaveHandler

from monai_ext.errors import CheckpointError, DamagedFileError
from monai_ext.folder_lock import notes_of_holder
from monai_ext.parallel.processes import process_rank
from monai_ext.torch_files import check_torch_file, read_torch_file, write_torch_file

__all__ = [
    "NAME_PATTERN",
    "AtomicSaver",
    "find_checkpoint",
    "find_whole_checkpoint",
    "list_checkpoints",
    "next_run_number",
    "run_number",
]

logger = logging.getLogger(__name__)

NAME_PATTERN = "checkpoint_{global_step:08d}.pt"
"""Name of the checkpoint after so many iterations."""
_NAME = re.compile(r"checkpoint_(\d{8,})\.pt")


class AtomicSaver(BaseSaveHandler):
    """Writes files atomically, in one process; deletes old ones only when the new one is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._outdated: list[str] = []

    def __call__(self, checkpoint: Mapping[str, Any], filename: str, metadata: Mapping[str, Any] | None = None) -> None:
        if process_rank() == 0:
            write_torch_file(self.folder / filename, checkpoint)
            for outdated in self._outdated:
                if outdated != filename:
                    (self.folder / outdated).unlink(missing_ok=True)
        self._outdated.clear()

    def remove(self, filename: str) -> None:
        self._outdated.append(filename)


def find_checkpoint(path: Path) -> Path | None:
    """The checkpoint meant by a path: the file itself, or the newest in a folder; None when the folder has none.

    Raises:
        CheckpointError: when the path does not exist.
    """
    if not path.exists():
        raise CheckpointError(f"Training cannot be resumed from {path}: it does not exist. Give a file or a folder.")
    if path.is_file():
        return path
    found = list_checkpoints(path)
    return found[-1][1] if found else None


def find_whole_checkpoint(path: Path) -> tuple[Path | None, list[Path]]:
    """As :func:`find_checkpoint`, but of a folder the newest checkpoint that is not damaged, and the damaged ones.

    A training that nobody watches goes on from the one before, and a warning says so.

    Raises:
        CheckpointError: when the path does not exist, or every checkpoint of the folder is damaged.
    """
    newest = find_checkpoint(path)
    if newest is None or path.is_file():
        return newest, []
    damaged = []
    for _, checkpoint in reversed(list_checkpoints(path)):
        try:
            check_torch_file(checkpoint)
        except DamagedFileError as error:
            logger.warning("A checkpoint cannot be used, the one before is tried: %s", error)
            damaged.append(checkpoint)
        else:
            return checkpoint, damaged
    raise CheckpointError(
        f"Training cannot be resumed from {{path}}: each of its {len(damaged)} checkpoints is truncated or damaged. "
        "Look at the disk; then copy a checkpoint from elsewhere, resume from best.pt if there is one, or start anew "
        "in another output_dir.",
        path=path,
    )


def run_number(folder: Path) -> int:
    """Which of the runs beside each other a folder holds, counted from 1 in the order of their starts.

    Its checkpoints say so, and, before there is one, the note of the process that trains in it. No clock has a part in
    it, nor the folder's name. 0 where nothing says it, such as for runs of earlier versions.
    """
    for _, path in reversed(list_checkpoints(folder)):
        with suppress(Exception):  # the one before says the same
            return int(read_torch_file(path, mmap=True, tensors=False)["progress"].get("run_number", 0))
    number = notes_of_holder(folder).get("run_number", 0)
    return number if isinstance(number, int) else 0


def next_run_number(folder: Path) -> int:
    """The number of a run that starts in a folder: one more than the highest of the runs beside it."""
    numbers = [0]
    for sibling in folder.resolve().parent.iterdir():
        with suppress(OSError):  # the folder of somebody else
            numbers.append(run_number(sibling) if sibling.is_dir() else 0)
    return max(numbers) + 1


def list_checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Iterations and paths of the checkpoints in a folder, oldest first; the best is not among them."""
    matches = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    return sorted((int(match[1]), path) for match, path in matches if match is not None)
