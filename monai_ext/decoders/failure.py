"""What went wrong in a decoder, in a form that goes from one process to another."""

from __future__ import annotations

__all__ = ["DecodingFailed"]


class DecodingFailed(Exception):
    """Something cannot be decoded.

    Args:
        reason: code of a :class:`~monai_ext.data.dicom.refusals.SkipReason`, such as ``"undecodable"`` or ``"crash"``.
        detail: what was found; never a value that may identify somebody.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail
