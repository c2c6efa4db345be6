"""Checkpoints as files in a folder: writing, naming, listing and choosing them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.handlers.checkpoint import BaseSaveHandler

from monai_ext.errors import CheckpointError
from monai_ext.files import write_atomically
from monai_ext.parallel.processes import process_rank

__all__ = ["NAME_PATTERN", "AtomicSaver", "find_checkpoint", "list_checkpoints"]

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
            write_atomically(self.folder / filename, lambda file: torch.save(checkpoint, file))
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


def list_checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Iterations and paths of the checkpoints in a folder, oldest first; the best is not among them."""
    matches = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    return sorted((int(match[1]), path) for match, path in matches if match is not None)
