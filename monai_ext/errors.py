"""Errors that a caller may want to catch. Each message says what was done, received, accepted, and what to do."""

from __future__ import annotations

import os
from typing import Any

__all__ = [
    "BundleAuditError",
    "CheckpointError",
    "ConfigOverrideError",
    "DamagedCheckpointError",
    "DamagedFileError",
    "DatasetError",
    "DicomSeriesError",
    "FederationError",
    "PackageError",
    "PacsError",
    "ReportedError",
    "SandboxError",
    "SliceStoreError",
    "SplitError",
    "StudyError",
    "TrainingStoppedError",
    "WeightsError",
    "public_text",
]

_LONGEST = 1000


class ReportedError(Exception):
    """One sentence in two renderings: for the person at this machine, and for what leaves it, such as tracking.

    Folders and files are often named after patients, and no pattern can tell a name from a word. Whatever may name one
    therefore is a field, whose place in the sentence is ``{field}``. The message has the values in these places, and
    ``public`` the fields' names. A sentence without fields may have anything in it, and has no public rendering.

    Args:
        sentence: with places for the fields.
        fields: what stays on this machine; of an exception the public rendering has :func:`public_text`.

    Example:
        >>> error = DatasetError("Reading {file}: it is empty.", file="/data/Doe^Jane/1.dcm")
        >>> str(error), error.public
        ('Reading /data/Doe^Jane/1.dcm: it is empty.', 'Reading <file>: it is empty.')
    """

    def __init__(self, sentence: str = "", **fields: Any) -> None:
        message, public = sentence, sentence if fields else ""
        for name in fields:
            public = public.replace(f"{{{name}}}", _publicly(name, fields[name]))
        for name, value in fields.items():
            message = message.replace(f"{{{name}}}", _here(value))
        super().__init__(*([message] if message else []))
        self.fields = fields
        self.public = public

    def __reduce__(self) -> tuple[Any, ...]:
        """Both renderings travel to another process, and fields as text, since what is in them may not be made to."""
        fields = {name: _here(value) for name, value in self.fields.items()}
        return _rendered, (type(self), str(self), self.public, fields)


def _rendered(kind: type[ReportedError], message: str, public: str, fields: dict[str, str]) -> ReportedError:
    error = kind(message)
    error.fields, error.public = fields, public
    return error


def public_text(error: BaseException) -> str:
    """What may be told of an error elsewhere: its type, and a sentence that cannot name a file, folder or person.

    Of our own errors that is ``public``; of errors of the system its own words for their number; of everything else
    nothing, since a message may have anything in it.

    >>> public_text(FileNotFoundError(2, "No such file or directory", "/data/Doe^Jane"))
    'FileNotFoundError: No such file or directory'
    >>> public_text(KeyError("Doe, Jane"))
    'KeyError'
    """
    sentence = _sentence(error)
    return (f"{type(error).__name__}: {sentence}" if sentence else type(error).__name__)[:_LONGEST]


def _sentence(error: BaseException) -> str:
    if isinstance(error, ReportedError):
        return " ".join(error.public.split())
    if isinstance(error, OSError) and type(error.errno) is int:
        return os.strerror(error.errno)
    return ""


def _publicly(name: str, value: Any) -> str:
    if isinstance(value, BaseException):
        return _sentence(value) or type(value).__name__
    return "none" if value is None else f"<{name}>"


def _here(value: Any) -> str:
    if isinstance(value, OSError) and value.strerror:
        return str(value.strerror)
    return "none" if value is None else str(value)


class DatasetError(ReportedError, ValueError):
    """A folder, picture or volume cannot be used as training data."""


class DicomSeriesError(DatasetError):
    """A DICOM series cannot be turned into slices."""


class SliceStoreError(DatasetError):
    """A slice store is damaged, of an unknown format, or in use."""


class SplitError(ReportedError, ValueError):
    """A splits file cannot be made, or must not be used with this data."""


class WeightsError(ReportedError, ValueError):
    """A weights file does not fit the network that it is loaded into."""


class CheckpointError(ReportedError, ValueError):
    """A training checkpoint is truncated, or belongs to another method or architecture."""


class DamagedCheckpointError(CheckpointError):
    """A training checkpoint does not hold what was written to it."""


class DamagedFileError(ReportedError, ValueError):
    """A file is truncated, or differs from the checksum that it holds."""


class FederationError(ReportedError, ValueError):
    """Sites of a federated training do not agree, or too few of them are left."""


class ConfigOverrideError(ReportedError, ValueError):
    """An override names an id that the bundle's config does not have."""


class StudyError(ReportedError, ValueError):
    """A study plan, or its records, are inconsistent."""


class BundleAuditError(ReportedError, ValueError):
    """A bundle contains something that must not be shared, or lacks something that it must have."""


class PackageError(ReportedError, ValueError):
    """A package of a bundle is damaged, was changed, or is not signed by somebody who is trusted."""


class PacsError(ReportedError, ValueError):
    """A DICOM node cannot be reached, or does not take what is sent to it."""


class SandboxError(ReportedError, ValueError):
    """A bundle cannot be run safely on this machine, or was stopped by a limit of its sandbox."""


class TrainingStoppedError(ReportedError, RuntimeError):
    """Training, or an evaluation, stopped on its own: the message names iteration and last good checkpoint."""
