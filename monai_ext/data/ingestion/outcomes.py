"""What became of a file, as a code that can be counted and kept."""

from __future__ import annotations

from monai_ext.data.dicom.refusals import Refusal, SkipReason

__all__ = ["STORED", "Outcome", "outcome_of"]

STORED = "stored"


class Outcome(str):
    """``"stored"``, or the code of a :class:`~monai_ext.data.dicom.refusals.SkipReason`; with what was found.

    Args:
        code: the code.
        detail: which element; never a value that may identify somebody.
    """

    detail: str

    def __new__(cls, code: str, detail: str = "") -> Outcome:
        made = super().__new__(cls, code)
        made.detail = detail
        return made

    def __reduce__(self) -> tuple[type[Outcome], tuple[str, str]]:
        return type(self), (str(self), self.detail)


def outcome_of(error: Exception) -> Outcome:
    """What to note about a file that could not be read; never the error's text, which may repeat its content."""
    if isinstance(error, Refusal):
        return Outcome(error.reason.value, error.detail)
    if isinstance(error, MemoryError):
        return Outcome(SkipReason.OUT_OF_MEMORY.value)
    if isinstance(error, OSError):
        return Outcome(SkipReason.UNREADABLE.value, error.strerror or type(error).__name__)
    return Outcome(SkipReason.DAMAGED.value, type(error).__name__)
