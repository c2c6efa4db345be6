"""Images that are read and prepared once, and then kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool
from typing import Any

from torch.utils.data import Dataset

__all__ = ["CachedImages"]


class CachedImages(Dataset[Any]):
    """All items of some data after a chain of transforms, prepared by threads at the start: for data that fits.

    Items are handed out as they are kept, not copied: what follows must not change them in place. Random transforms
    belong behind the loader, since these would be drawn once.

    Args:
        data: items, as of :func:`~monai_ext.data.open_labelled_sections`.
        transform: deterministic transforms of an item, or one.
        num_workers: threads that prepare; 0 prepares in the calling one.

    Raises:
        DatasetError: an item cannot be read; the message names its file.

    Example:
        >>> images = CachedImages([1, 2], transform=[lambda number: {"image": number + 1}], num_workers=0)
        >>> len(images), images[1]
        (2, {'image': 3})
    """

    def __init__(
        self, data: Sequence[Any], *, transform: Sequence[Callable[..., Any]] | Callable[..., Any], num_workers: int = 2
    ) -> None:
        self.data = data
        self.transforms = [transform] if callable(transform) else list(transform)
        places = range(len(data))
        if num_workers > 0:
            with ThreadPool(num_workers) as pool:
                self._items = pool.map(self._prepare, places)
        else:
            self._items = [self._prepare(place) for place in places]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, item: int) -> Any:
        """One item, prepared."""
        return self._items[item]

    def _prepare(self, place: int) -> Any:
        prepared = self.data[place]
        for transform in self.transforms:
            prepared = transform(prepared)
        return prepared
