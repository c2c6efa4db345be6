"""Where the visible patches of a batch lie, and how a block finds the pixels of its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["BlockLayout", "RowGather"]

_MASKED, _OUTSIDE = -1, -2


class RowGather(NamedTuple):
    """A gather of pixel rows: row i of the result is row ``source[i]`` of the blocks, or empty.

    Args:
        source: for every row of the result the row that it is copied from (0 where it is empty).
        copied: the rows of the result that have a source.
        empty: the rows of the result without one: the pixel is masked, or lies outside of the image.
        outside: the part of ``empty`` that lies outside of the image.
    """

    source: Tensor
    copied: Tensor
    empty: Tensor
    outside: Tensor

    @classmethod
    def from_source(cls, source: Tensor) -> RowGather:
        """Take ``source`` with negative numbers for masked and outside pixels."""
        return cls(
            source=source.clamp(min=0),
            copied=(source >= 0).nonzero()[:, 0],
            empty=(source < 0).nonzero()[:, 0],
            outside=(source == _OUTSIDE).nonzero()[:, 0],
        )


class BlockLayout:
    """The positions of the N visible patches of a batch; made once a forward pass and shared by all of its features.

    Args:
        visible: boolean ``(B, 1, *grid)``; True means that the encoder sees the patch.
    """

    def __init__(self, visible: Tensor) -> None:
        self.visible = visible
        self.spatial_dims = visible.ndim - 2
        self.coordinates = visible[:, 0].nonzero()  # (N, 1 + D): sample, then position in the grid
        self._neighbours = self._number_neighbours()
        self._gathers: dict[tuple[int, ...], RowGather] = {}

    def __len__(self) -> int:
        return self.coordinates.shape[0]

    @property
    def grid(self) -> torch.Size:
        """Number of patches along each spatial axis."""
        return self.visible.shape[2:]

    @property
    def index(self) -> tuple[Tensor, ...]:
        """Index of the visible patches in a tensor ``(B, *grid, ...)``."""
        return self.coordinates.unbind(1)

    def halo(self, side: int, width: int) -> RowGather:
        """Give the gather that pads blocks of ``side`` pixels by ``width`` pixels of their neighbours."""
        return self._cached((side, width), self._halo_source)

    def taps(self, side: int, width: int, kernel: int, stride: int) -> RowGather:
        """Give the gather of all ``kernel ** D`` inputs of every output pixel (im2col), in the order of the kernel."""
        return self._cached((side, width, kernel, stride), self._tap_source)

    def _cached(self, key: tuple[int, ...], make: Callable[..., Tensor]) -> RowGather:
        if key not in self._gathers:
            self._gathers[key] = RowGather.from_source(make(*key).flatten())
        return self._gathers[key]

    def _number_neighbours(self) -> Tensor:
        """Number of the block at each offset in {-1, 0, 1} ** D, ``(N, 3 ** D)``; negative where there is none."""
        numbers = self.visible.new_full(self.visible.shape[:1] + self.grid, _MASKED, dtype=torch.long)
        numbers[self.index] = torch.arange(len(self), device=numbers.device)
        padding = (1, 1) * self.spatial_dims
        numbers = torch.nn.functional.pad(numbers, padding, value=_OUTSIDE)
        sample, *position = self.index
        offsets = product((0, 1, 2), repeat=self.spatial_dims)
        return torch.stack(
            [numbers[(sample, *(p + o for p, o in zip(position, offset, strict=True)))] for offset in offsets], 1
        )

    def _halo_source(self, side: int, width: int) -> Tensor:
        """Row of every pixel of the padded blocks, ``(N, side + 2 width, ...)``; negative where there is none."""
        line = torch.arange(-width, side + width, device=self.visible.device)
        direction, inside = line.div(side, rounding_mode="floor") + 1, line.remainder(side)
        neighbour, pixel = line.new_zeros(()), line.new_zeros(())
        for dim in range(self.spatial_dims):
            shape = [-1 if d == dim else 1 for d in range(self.spatial_dims)]
            neighbour = neighbour * 3 + direction.view(shape)
            pixel = pixel * side + inside.view(shape)
        blocks = self._neighbours[:, neighbour]
        return torch.where(blocks >= 0, blocks * side**self.spatial_dims + pixel, blocks)

    def _tap_source(self, side: int, width: int, kernel: int, stride: int) -> Tensor:
        """Row of every input of every output pixel, ``(N, output side, ..., kernel, ...)``."""
        source = self._halo_source(side, width)
        for dim in range(1, self.spatial_dims + 1):
            source = source.unfold(dim, kernel, stride)
        return source
