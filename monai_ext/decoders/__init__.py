"""Decoders in native code, which a damaged file may crash, and the process of their own in which they can be run.

This room imports nothing heavy, so that such a process starts in a fraction of a second.
"""

from monai_ext.decoders.failure import DecodingFailed
from monai_ext.decoders.isolated import IsolatedProcess, shared_process

__all__ = ["DecodingFailed", "IsolatedProcess", "shared_process"]
