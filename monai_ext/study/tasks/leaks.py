"""Test images among the data of a pre-training, found by content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from monai_ext.files import file_sha256

__all__ = ["shared_files"]


def shared_files(test_files: Iterable[Path], pretraining_data: Path) -> list[Path]:
    """The test files whose bytes are also those of a file in the pre-training data.

    Only files of equal length are read, so that a large folder costs little. What was stored anew in another format, or
    another slice of the same patient, is not found.

    Args:
        test_files: of a task's test section.
        pretraining_data: a folder or a file.
    """
    by_length: dict[int, list[Path]] = defaultdict(list)
    for file in test_files:
        by_length[file.stat().st_size].append(file)
    others = [pretraining_data] if pretraining_data.is_file() else pretraining_data.rglob("*")
    found: set[Path] = set()
    digests: dict[Path, str] = {}
    for other in others:
        if other.is_file() and (alike := by_length.get(other.stat().st_size)):
            digest = file_sha256(other)
            for file in alike:
                digests.setdefault(file, file_sha256(file))
            found.update(file for file in alike if digests[file] == digest)
    return sorted(found)
