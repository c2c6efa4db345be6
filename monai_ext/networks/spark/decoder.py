"""The decoder of SparK: five light upsampling levels from the deepest feature map to the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn

from monai_ext.parallel.memory_format import memory_format_of

__all__ = ["SparKDecoder"]


class SparKDecoder(nn.Module):
    """Upsample densified feature maps to the image (Tian et al., ICLR 2023, section 3.2).

    Each level doubles the resolution and halves the width: transposed convolution (kernel 4, stride 2), then
    convolution, batch norm, ReLU6, convolution, batch norm. The densified map of a resolution is added before its
    level. A 1 x 1 convolution gives the image channels.

    Args:
        width: channels of the deepest map, divisible by ``2 ** levels``.
        out_channels: channels of the image.
        spatial_dims: 2 or 3.
        levels: number of levels; ``2 ** levels`` is the patch size and must be the encoder's total stride.

    Raises:
        ValueError: When ``width`` cannot be halved ``levels`` times, or ``spatial_dims`` is not 2 or 3.

    Example:
        >>> import torch
        >>> SparKDecoder(32, out_channels=1)([torch.zeros(1, 32, 2, 2)]).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(self, width: int = 768, *, out_channels: int = 1, spatial_dims: int = 2, levels: int = 5) -> None:
        super().__init__()
        if width % 2**levels:
            raise ValueError(
                f"A decoder of width {width} was asked for; {levels} levels need a multiple of {2**levels}."
            )
        if spatial_dims not in (2, 3):
            raise ValueError(f"A decoder for {spatial_dims} spatial dimensions was asked for; accepted: 2, 3.")
        self.spatial_dims = spatial_dims
        self.out_channels = out_channels
        self.widths = [width // 2**level for level in range(levels + 1)]
        self.levels = nn.ModuleList(UpsamplingLevel(w, w // 2, spatial_dims=spatial_dims) for w in self.widths[:-1])
        self.projection = Conv[Conv.CONV, spatial_dims](self.widths[-1], out_channels, kernel_size=1)
        self.apply(_initialize)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Decode.

        Args:
            maps: densified maps, deepest first: ``(B, widths[i], *grid * 2 ** i)``; the last levels may have none.

        Returns:
            ``(B, out_channels, *grid * 2 ** levels)``.
        """
        # Where maps and weights differ, PyTorch computes channels last, which is the slower one on some processors.
        maps = [features.contiguous(memory_format=memory_format_of(self)) for features in maps]
        x = maps[0]
        for i, level in enumerate(self.levels):
            if 0 < i < len(maps):
                x = x + maps[i]
            x = level(x)
        return self.projection(x)


class _ReLU6(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x.clamp_(0.0, 6.0)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradients[0], result, 0.0, 6.0)


class InplaceReLU6(nn.Module):
    """ReLU6 that keeps its result only. torch's in-place version copies its input for the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        return _ReLU6.apply(x)


class UpsamplingLevel(nn.Module):
    """Double the resolution of ``(B, in_channels, *spatial)``."""

    def __init__(self, in_channels: int, out_channels: int, *, spatial_dims: int = 2) -> None:
        super().__init__()
        convolution, norm = Conv[Conv.CONV, spatial_dims], Norm[Norm.BATCH, spatial_dims]
        self.upsample = Conv[Conv.CONVTRANS, spatial_dims](in_channels, in_channels, 4, stride=2, padding=1)
        self.convolutions = nn.Sequential(
            convolution(in_channels, in_channels, 3, padding=1, bias=False),
            norm(in_channels),
            InplaceReLU6(),
            convolution(in_channels, out_channels, 3, padding=1, bias=False),
            norm(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.convolutions(self.upsample(x))


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.trunc_normal_(module.weight, std=0.02)
    if getattr(module, "bias", None) is not None and not isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
