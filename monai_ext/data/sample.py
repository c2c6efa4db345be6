"""The embedded sample: phantom CT for a first run, written as real DICOM into the user's cache folder."""

from __future__ import annotations

from pathlib import Path

__all__ = ["sample_epochs_limit"]


def sample_epochs_limit(dataset_dir: str | Path | None, *, epochs: int) -> int | None:
    """The length of a demonstration: ``epochs`` when the embedded sample is used, no limit (None) on real data."""
    return epochs if dataset_dir is None else None
