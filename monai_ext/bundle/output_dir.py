"""The folder that a training run writes to."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from monai_ext.handlers import find_checkpoint
from monai_ext.handlers.checkpoint_files import run_number
from monai_ext.parallel.processes import decided_by_first, in_process_group
from monai_ext.running_config import refusal

__all__ = ["prepare_output_dir"]


def prepare_output_dir(bundle_root: str, *, resume: str | None = None, parent: str | None = None) -> str:
    """The folder of this run: a fresh one, or that of the run which is continued.

    A fresh folder is called by its start in UTC and a random part, ``models/20260131T094500Z-3fa9c1``, so that folders
    sort by time and two runs never share one. In a distributed run the first process chooses and all get the same.

    Args:
        bundle_root: the bundle; its ``models`` folder holds the runs unless ``parent`` is given.
        resume: None for a fresh run; ``"last"`` for the newest run that has a checkpoint, by the order of their starts
            that the checkpoints keep, whatever the folders are called and the clock says; or a run's folder, or a
            checkpoint file in one.
        parent: another folder to hold the runs, for example on a larger disk.

    Returns:
        The absolute path of an existing folder.

    Raises:
        FileNotFoundError: there is nothing to resume.
        OSError: the folder cannot be created or written to.
        RuntimeError: several processes were started without a process group to agree in.
    """
    runs = Path(parent) if parent is not None else Path(bundle_root) / "models"
    return str(_agreed(lambda: _fresh(runs) if resume is None else _resumed(runs, resume)))


def _fresh(runs: Path) -> Path:
    folder = runs / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise type(error)(
            f"Creating the run's folder {folder}: {error.strerror}. Results need a folder that can be written to: "
            "name one with --output_dir::parent."
        ) from error
    return folder.resolve()


def _resumed(runs: Path, resume: str) -> Path:
    folder = _newest(runs) if resume == "last" else _run_of(Path(resume))
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"Resuming in {folder}: the folder is read-only. Copy it to where it can be written to and name the copy "
            "with --resume."
        )
    return folder.resolve()


def _newest(runs: Path) -> Path:
    folders = [folder for folder in runs.glob("*/") if _has_checkpoint(folder)]
    if not folders:
        raise FileNotFoundError(
            f"Resuming the last run: no folder in {runs} holds a checkpoint. Leave --resume away to start a run, or "
            "name a run's folder or a checkpoint."
        )
    return max(
        folders, key=lambda folder: (run_number(folder), folder.name)
    )  # names tell runs of earlier versions apart


def _has_checkpoint(folder: Path) -> bool:
    try:
        return find_checkpoint(folder) is not None
    except OSError:  # the folder of somebody else
        return False


def _run_of(path: Path) -> Path:
    if path.is_file():
        return path.parent
    if path.is_dir() and find_checkpoint(path) is not None:
        return path
    found = "has no checkpoint in it" if path.is_dir() else "does not exist"
    raise FileNotFoundError(f"Resuming from {path}: it {found}. Name a run's folder, a checkpoint file, or 'last'.")


def _agreed(choose: Callable[[], Path]) -> Path:
    """What the first process chooses, in every process; an error of the first process is raised in all."""
    if not in_process_group() and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise refusal(
            RuntimeError(
                f"{os.environ['WORLD_SIZE']} processes were started, but the config forms no process group and each "
                "would train for itself. Add configs/multi_gpu_train.json to --config_file."
            )
        )
    try:
        return decided_by_first(choose)
    except OSError as error:
        raise refusal(error) from error.__cause__
