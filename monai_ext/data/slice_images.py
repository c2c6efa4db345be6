"""Slices as a PyTorch dataset: decoded, resized, windowed, and kept in memory when there is room."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate
from torch.utils.data import Dataset

from monai_ext.data.slice_cache import SliceCache
from monai_ext.data.sources.source import GRAY_LEVELS, MR_SIGNAL, SliceSource
from monai_ext.errors import DatasetError
from monai_ext.transforms.window import PERCENTILES, HounsfieldWindow, WindowChoice

__all__ = ["SliceImages"]

logger = logging.getLogger(__name__)

_MOST_DAMAGED_IN_A_ROW = 32


class SliceImages(Dataset[torch.Tensor]):
    """Slices of a source as float32 tensors (C, S, S) in [0, 1]; made by :func:`~monai_ext.data.open_slices`.

    A slice is resized with antialiasing until its shorter side is S, its middle is kept, and the result is rounded to
    whole Hounsfield units (or gray levels). In this form it is kept in memory; windowing comes last, so it costs
    nothing to change. Nothing is scaled by a slice's own minimum and maximum.

    Without a size, items are (C, H, W) with each slice's own H and W, none is kept, and gray levels of 16 bits are
    brought to whole levels of 8 bits first.

    Args:
        source: where the slices come from.
        indices: which of the source's slices, in order.
        load_size: S, side of the items in pixels; None for each slice's own size.
        window: preset, ``[center_hu, width_hu]``, or a list of them, see
            :class:`~monai_ext.transforms.HounsfieldWindow`; pictures have no Hounsfield units and take ``"full"`` only,
            and MR takes ``"percentiles"`` only.
        channels: C. One window (or a picture) is repeated; several windows must be as many as channels.
        cache_gib: size of the memory for decoded slices in GiB; 0 keeps none.
        labels: what ``describe`` says about this selection besides.
        unreadable: what stands in for a slice that cannot be decoded, which is named in a warning: ``"next"``, the next
            one that can be, always the same; ``"blank"``, an image of NaN; ``"refuse"``, an error.

    Raises:
        ValueError: a window on pictures or MR, that of MR on CT, or windows that do not fit the channels.
    """

    def __init__(
        self,
        source: SliceSource,
        *,
        indices: Sequence[int],
        load_size: int | None,
        window: WindowChoice | Sequence[WindowChoice] = "full",
        channels: int = 1,
        cache_gib: float = 1.0,
        labels: dict[str, Any] | None = None,
        unreadable: str = "refuse",
    ) -> None:
        self.source = source
        self.indices = tuple(indices)
        self.load_size = load_size
        self.channels = channels
        self.window = self._choose_window(window)
        self._labels = labels or {}
        self._unreadable, self._left_out = unreadable, set[int]()
        self._place = {index: place for place, index in enumerate(self.indices)}
        if load_size is not None:
            self._cache = SliceCache(len(self), size=load_size, dtype=source.dtype, gib=cache_gib)
            self._report_cache(cache_gib)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int) -> torch.Tensor:
        """The slice as float32 (C, S, S), or (C, H, W), in [0, 1].

        Raises:
            DatasetError: its file cannot be decoded; the message names the file.
        """
        number = range(len(self))[item]
        if self._unreadable == "refuse":
            return self._image(number)
        image = self._image_unless_damaged(number)
        if image is not None:
            return image
        if self._unreadable == "blank" and self.load_size is not None:
            return torch.full((self.channels, self.load_size, self.load_size), torch.nan)
        return self._next_image(number)

    def _image(self, number: int) -> torch.Tensor:
        plane = (
            self.source.read(self.indices[number]) if self.load_size is None else self._pixels(number, self.load_size)
        )
        pixels = torch.from_numpy(plane.astype(np.float32))[None]
        if self.window is None:
            return self._in_unit_interval(pixels).repeat(self.channels, 1, 1)
        windowed = self.window(pixels)
        return windowed if len(windowed) == self.channels else windowed.repeat(self.channels, 1, 1)

    def _image_unless_damaged(self, number: int) -> torch.Tensor | None:
        """The image, or None with a warning; what was damaged once is not tried again by this process."""
        if number in self._left_out:
            return None
        try:
            return self._image(number)
        except DatasetError as error:
            self._left_out.add(number)
            logger.warning("A slice is left out, %s", str(error)[:1].lower() + str(error)[1:])
            return None

    def _next_image(self, number: int) -> torch.Tensor:
        """The next image that can be decoded: an epoch keeps its length, and a resumed training sees the same."""
        for step in range(1, min(_MOST_DAMAGED_IN_A_ROW, len(self))):
            image = self._image_unless_damaged((number + step) % len(self))
            if image is not None:
                return image
        raise DatasetError(
            f"{_MOST_DAMAGED_IN_A_ROW} slices of {{folder}} in a row cannot be decoded; the warnings above name them."
            " Export them again, or move them out of the folder.",
            folder=self.source.root,
        )

    @property
    def groups(self) -> tuple[str, ...]:
        """Pseudonym of what each slice belongs to: never on both sides of a split."""
        return tuple(self.source.groups[index] for index in self.indices)

    @property
    def fingerprint(self) -> str:
        """Identifies the source's data, see :func:`~monai_ext.data.sources.source.fingerprint_files`."""
        return self.source.fingerprint

    def describe(self) -> dict[str, Any]:
        """What is in it, as plain JSON values without identity."""
        return {
            "count": len(self),
            "kind": self.source.kind,
            "source": str(self.source.root),
            **self._labels,
            "groups": len(set(self.groups)),
            "grouped_by": self.source.grouped_by,
            "values": self.source.values,
            "windows_hu": [[w.center_hu, w.width_hu] for w in self.window.windows] if self.window else None,
            "channels": self.channels,
            "load_size": self.load_size,
            "fingerprint": self.fingerprint,
            **self.source.describe(),
        }

    def _in_unit_interval(self, levels: torch.Tensor) -> torch.Tensor:
        white = self.source.white
        if self.source.values == MR_SIGNAL:
            return (levels / white).clamp_(0.0, 1.0)
        if self.load_size is None and white > 255:
            return (levels * (255 / white)).round() / 255
        return levels / white

    def _pixels(self, item: int, size: int) -> np.ndarray:
        """The slice (S, S) in the source's type, from memory or decoded together with its companions."""
        kept = self._cache.get(item)
        if kept is not None:
            return kept
        wanted = self._load(self.indices[item], size)
        for index in self.source.decoded_together(self.indices[item]):
            place = self._place.get(index)
            if place is not None and place < self._cache.capacity and self._cache.get(place) is None:
                with suppress(DatasetError):  # a damaged companion is reported when it is asked for
                    self._cache.put(place, wanted if place == item else self._load(index, size))
        return wanted

    def _load(self, index: int, size: int) -> np.ndarray:
        """Decode, resize the shorter side to S, keep the middle, round."""
        plane = torch.from_numpy(self.source.read(index))[None, None]
        rows, columns = plane.shape[-2:]
        scale = size / min(rows, columns)
        shape = [max(size, round(rows * scale)), max(size, round(columns * scale))]
        resized = plane if shape == [rows, columns] else interpolate(plane, shape, mode="bilinear", antialias=True)
        top, left = (shape[0] - size) // 2, (shape[1] - size) // 2
        middle = resized[0, 0, top : top + size, left : left + size].numpy()
        limits = np.iinfo(self.source.dtype)
        return np.rint(middle).clip(limits.min, limits.max).astype(self.source.dtype)

    def _choose_window(self, window: WindowChoice | Sequence[WindowChoice]) -> HounsfieldWindow | None:
        if self.source.values == MR_SIGNAL:
            if window != PERCENTILES:
                raise ValueError(
                    f"The window {window!r} is one of Hounsfield units, and {self.source.root} holds MR, which has"
                    f" none: its series are on the scale of their own percentiles. Set window to {PERCENTILES!r}, and"
                    " only if MR is what you mean to use."
                )
            return None
        if self.source.values == GRAY_LEVELS:
            if window != "full":
                raise ValueError(
                    f"The window {window!r} cannot be applied to pictures: they have gray levels, not Hounsfield units."
                    " Leave window at 'full', or give the DICOM or the volumes that they were made from."
                )
            return None
        return HounsfieldWindow(window, channels=self.channels)

    def _report_cache(self, cache_gib: float) -> None:
        """Say when slices do not fit into memory; a warning where each costs the decoding of a whole volume."""
        if self._cache.capacity == len(self):
            return
        is_costly = len(self.source.decoded_together(self.indices[0])) > 1
        logger.log(
            logging.WARNING if is_costly else logging.INFO,
            "%d of %d slices fit into the memory for decoded slices (%.3g GiB); the others are decoded each time%s.",
            self._cache.capacity,
            len(self),
            cache_gib,
            ", with the whole compressed volume: raise cache_gib, or ingest the volumes into a slice store" * is_costly,
        )
