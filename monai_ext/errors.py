"""Errors that a caller may want to catch. Each message says what was done, received, accepted, and what to do."""

from __future__ import annotations

__all__ = [
    "BundleAuditError",
    "CheckpointError",
    "ConfigOverrideError",
    "DamagedCheckpointError",
    "DamagedFileError",
    "DatasetError",
    "DicomSeriesError",
    "PackageError",
    "PacsError",
    "SandboxError",
    "SliceStoreError",
    "SplitError",
    "StudyError",
    "TrainingStoppedError",
    "WeightsError",
]


class DatasetError(ValueError):
    """A folder, picture or volume cannot be used as training data."""


class DicomSeriesError(DatasetError):
    """A DICOM series cannot be turned into slices."""


class SliceStoreError(DatasetError):
    """A slice store is damaged, of an unknown format, or in use."""


class SplitError(ValueError):
    """A splits file cannot be made, or must not be used with this data."""


class WeightsError(ValueError):
    """A weights file does not fit the network that it is loaded into."""


class CheckpointError(ValueError):
    """A training checkpoint is truncated, or belongs to another method or architecture."""


class DamagedCheckpointError(CheckpointError):
    """A training checkpoint does not hold what was written to it."""


class DamagedFileError(ValueError):
    """A file is truncated, or differs from the checksum that it holds."""


class ConfigOverrideError(ValueError):
    """An override names an id that the bundle's config does not have."""


class StudyError(ValueError):
    """A study plan, or its records, are inconsistent."""


class BundleAuditError(ValueError):
    """A bundle contains something that must not be shared, or lacks something that it must have."""


class PackageError(ValueError):
    """A package of a bundle is damaged, was changed, or is not signed by somebody who is trusted."""


class PacsError(ValueError):
    """A DICOM node cannot be reached, or does not take what is sent to it."""


class SandboxError(ValueError):
    """A bundle cannot be run safely on this machine, or was stopped by a limit of its sandbox."""


class TrainingStoppedError(RuntimeError):
    """Training, or an evaluation, stopped on its own: the message names iteration and last good checkpoint."""
