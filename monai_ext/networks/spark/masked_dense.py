"""Reference backend: compute everything, then multiply by the mask. This is how the original SparK executes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["MaskedDense", "expand_mask"]


def expand_mask(visible: Tensor, spatial: tuple[int, ...] | torch.Size) -> Tensor:
    """Repeat every patch of ``visible`` ``(B, 1, *grid)`` up to ``(B, 1, *spatial)``; boolean."""
    for dim, size in enumerate(spatial, start=2):
        visible = visible.repeat_interleave(size // visible.shape[dim], dim=dim)
    return visible


@dataclass(frozen=True)
class MaskedDense:
    """A dense feature map whose masked positions are zero.

    Slow, and easy to compare with the paper (Tian et al., 2023, section 3.1): every result is multiplied by the mask,
    and batch normalisation sees the visible positions as one long list.

    Args:
        values: ``(B, C, *spatial)``, zero at masked positions.
        visible: boolean ``(B, 1, *grid)``; True means that the encoder sees the patch.
    """

    values: Tensor
    visible: Tensor

    @classmethod
    def from_image(cls, image: Tensor, visible: Tensor) -> MaskedDense:
        return cls(torch.zeros_like(image), visible)._with(image)

    def convolve(self, module: nn.Module) -> MaskedDense:
        return self._with(module(self.values))

    def normalize(self, module: nn.Module) -> MaskedDense:
        mask = expand_mask(self.visible, self.values.shape[2:])[:, 0]
        channels_last = self.values.movedim(1, -1)
        ones = (1,) * (self.values.ndim - 2)
        rows = module(channels_last[mask].unflatten(1, (-1, *ones))).flatten(1)
        result = torch.zeros_like(channels_last, dtype=rows.dtype)
        result[mask] = rows
        return MaskedDense(result.movedim(-1, 1), self.visible)

    def activate(self, module: nn.Module) -> MaskedDense:
        return MaskedDense(module(self.values), self.visible)

    def pool(self, module: nn.Module) -> MaskedDense:
        return self._with(module(self.values))

    def add(self, other: MaskedDense) -> MaskedDense:
        return MaskedDense(self.values + other.values, self.visible)

    def scale_samples(self, factors: Tensor) -> MaskedDense:
        shape = (-1, *(1,) * (self.values.ndim - 1))
        return MaskedDense(self.values * factors.to(self.values.dtype).view(shape), self.visible)

    def to_dense(self, fill: Tensor | None = None) -> Tensor:
        if fill is None:
            return self.values
        mask = expand_mask(self.visible, self.values.shape[2:])
        return torch.where(mask, self.values, fill.to(self.values.dtype))

    def _with(self, values: Tensor) -> MaskedDense:
        # where instead of a product: NaN or infinity in a masked pixel must not reach the encoder either
        mask = expand_mask(self.visible, values.shape[2:])
        return MaskedDense(
            torch.where(mask, values, torch.zeros((), dtype=values.dtype, device=values.device)), self.visible
        )
