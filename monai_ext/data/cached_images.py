"""Images that are read and prepared once, and then kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.data import CacheDataset

__all__ = ["CachedImages"]


class CachedImages(CacheDataset):
    """MONAI's ``CacheDataset`` of all items, read by threads at the start, for data that fits into memory.

    Items are handed out as they are kept, not copied: what follows must not change them in place. Random transforms
    belong behind the loader, since these would be drawn once.

    Args:
        data: items, as of :func:`~monai_ext.data.open_labelled_sections`.
        transform: deterministic transforms of MONAI, or a list of them.
        num_workers: threads that read; 0 reads in the calling one.

    Example:
        >>> from monai.transforms import Lambda
        >>> CachedImages([1, 2], transform=[Lambda(lambda number: {"image": number + 1})], num_workers=0)[0]
        {'image': 2}
    """

    def __init__(
        self, data: Sequence[Any], *, transform: Sequence[Callable[..., Any]] | Callable[..., Any], num_workers: int = 2
    ) -> None:
        super().__init__(data, transform, cache_rate=1.0, num_workers=num_workers, copy_cache=False, progress=False)
