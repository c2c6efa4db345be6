"""Convolution of blocks that see their visible neighbours, without storing the padded copies.

A feature map is handled as rows of channels ``(N * s ** D, C)``, one row a pixel: that is its channels-last memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_ext.networks.block_layout import BlockLayout, RowGather

__all__ = ["block_convolution", "gather_halo", "to_blocks", "to_rows"]

# Below this output side a block is so small that convolution kernels are mostly overhead: one matrix product over
# the gathered inputs is faster (benchmarks/sparse_encoder.py).
_SMALLEST_CONVOLVED_SIDE = 4


def to_rows(blocks: Tensor) -> Tensor:
    """View ``(N, C, s, ...)`` as rows ``(N * s ** D, C)``; copies unless the memory is channels last."""
    return blocks.movedim(1, -1).reshape(-1, blocks.shape[1])


def to_blocks(rows: Tensor, side: int, spatial_dims: int) -> Tensor:
    """View rows ``(N * side ** D, C)`` as blocks ``(N, C, side, ...)`` in channels-last memory."""
    return rows.view(-1, *(side,) * spatial_dims, rows.shape[1]).movedim(-1, 1)


def block_convolution(blocks: Tensor, module: nn.Module, layout: BlockLayout) -> Tensor:
    """Convolve blocks ``(N, C, s, ...)`` with the parameters of an ordinary convolution.

    Args:
        blocks: visible blocks in the order of ``layout``.
        module: ``nn.Conv2d`` or ``nn.Conv3d`` with an odd cubic kernel, padding k // 2, and a stride that divides s.
        layout: where the blocks lie.

    Returns:
        ``(N, C_out, s / stride, ...)``.

    Raises:
        TypeError: When the convolution has another geometry.
    """
    kernel, stride = _geometry(module, blocks.shape[2])
    weight, bias = _match_autocast(blocks, module.weight), module.bias  # type: ignore[arg-type]
    blocks = _match_autocast(blocks, blocks)
    bias = None if bias is None else _match_autocast(blocks, bias)  # type: ignore[arg-type]
    side, rows = blocks.shape[2], to_rows(blocks)
    if kernel == 1 and stride == 1:
        result = _multiply(rows, weight.flatten(1), bias)
    else:
        result = _BlockConvolution.apply(rows, weight, bias, layout, side, stride)
    return to_blocks(result, side // stride, layout.spatial_dims)


def gather_halo(blocks: Tensor, layout: BlockLayout, width: int, *, outside: float = 0.0) -> Tensor:
    """Pad blocks ``(N, C, s, ...)`` by ``width`` pixels of their visible neighbours.

    Masked neighbours count as zero, pixels outside of the image as ``outside``.
    """
    side = blocks.shape[2]
    rows = _GatherRows.apply(to_rows(blocks), layout.halo(side, width), outside)
    return to_blocks(rows, side + 2 * width, layout.spatial_dims)


def _geometry(module: nn.Module, side: int) -> tuple[int, int]:
    if not isinstance(module, nn.Conv2d | nn.Conv3d):
        raise TypeError(
            f"The layer {type(module).__name__} has no counterpart on active blocks; accepted: Conv2d, Conv3d."
        )
    kernel, stride = module.kernel_size[0], module.stride[0]
    fits = (
        set(module.kernel_size) == {kernel}
        and set(module.stride) == {stride}
        and set(module.padding) == {kernel // 2}
        and set(module.dilation) == {1}
        and module.groups == 1
        and kernel % 2 == 1
        and side % stride == 0
        and kernel // 2 <= side
    )
    if not fits:
        raise TypeError(
            f"The convolution {module} cannot run on active blocks of {side} pixels. Accepted: one odd kernel size k "
            "for all axes, k // 2 padding, a stride that divides the block, no dilation, no groups. "
            'Use backend="masked_dense".'
        )
    return kernel, stride


def _match_autocast(reference: Tensor, tensor: Tensor) -> Tensor:
    device_type = reference.device.type
    if torch.is_autocast_enabled(device_type) and tensor.dtype == torch.float32:
        return tensor.to(torch.get_autocast_dtype(device_type))
    return tensor


def _multiply(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute ``rows @ weight.T + bias`` with the kernel that is fastest for the device and dtype."""
    if rows.device.type == "cpu" and rows.dtype == torch.float32:
        # As a 1 x 1 convolution over one image of M x 1 pixels oneDNN does it, up to three times faster than BLAS.
        image = rows.view(1, -1, 1, rows.shape[1]).movedim(-1, 1)
        return F.conv2d(image, weight[:, :, None, None], bias).movedim(1, -1).reshape(rows.shape[0], -1)
    return F.linear(rows, weight, bias)


def _gather(rows: Tensor, gather: RowGather, outside: float = 0.0) -> Tensor:
    result = rows.index_select(0, gather.source).index_fill_(0, gather.empty, 0.0)
    return result.index_fill_(0, gather.outside, outside) if outside != 0.0 else result


def _scatter(gradient: Tensor, gather: RowGather, row_count: int) -> Tensor:
    """Add the gradient of gathered rows to the rows that they came from."""
    result = gradient.new_zeros(row_count, gradient.shape[1])
    source = gather.source.index_select(0, gather.copied)
    return result.index_add_(0, source, gradient.index_select(0, gather.copied))


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, gather: RowGather, outside: float) -> Tensor:
        ctx.gather, ctx.row_count = gather, rows.shape[0]
        return _gather(rows, gather, outside)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _scatter(gradients[0], ctx.gather, ctx.row_count), None, None


class _BlockConvolution(torch.autograd.Function):
    """Gather and convolve; backward gathers again, so that padded copies are never kept."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, layout: BlockLayout, side: int, stride: int
    ) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.geometry = layout, side, stride, bias is not None
        kernel = weight.shape[2]
        with torch.autocast(rows.device.type, enabled=False):
            if side // stride < _SMALLEST_CONVOLVED_SIDE or kernel == 1:
                taps = _gather(rows, layout.taps(side, kernel // 2, kernel, stride))
                return _multiply(taps.view(-1, weight[0].numel()), _as_matrix(weight), bias)
            padded = _gather(rows, layout.halo(side, kernel // 2))
            blocks = to_blocks(padded, side + kernel - 1, layout.spatial_dims)
            return to_rows(_convolve(blocks, weight, bias, stride))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None, None, None]:
        rows, weight = ctx.saved_tensors
        layout, side, stride, has_bias = ctx.geometry
        kernel, gradient = weight.shape[2], gradients[0]
        bias_gradient = gradient.sum(0) if has_bias else None
        needs_rows = ctx.needs_input_grad[0]
        if side // stride < _SMALLEST_CONVOLVED_SIDE or kernel == 1:
            gather = layout.taps(side, kernel // 2, kernel, stride)
            taps = _gather(rows, gather).view(-1, weight[0].numel())
            taps_gradient = _multiply(gradient, _as_matrix(weight).T.contiguous(), None) if needs_rows else None
            weight_gradient = _as_kernel(gradient.T @ taps, weight)
        else:
            gather = layout.halo(side, kernel // 2)
            blocks = to_blocks(_gather(rows, gather), side + kernel - 1, layout.spatial_dims)
            blocks_gradient = to_blocks(gradient, side // stride, layout.spatial_dims)
            taps_gradient, weight_gradient = _convolve_backward(blocks_gradient, blocks, weight, stride, needs_rows)
        rows_gradient = None
        if taps_gradient is not None:
            rows_gradient = _scatter(taps_gradient.reshape(-1, rows.shape[1]), gather, rows.shape[0])
        return rows_gradient, weight_gradient, bias_gradient, None, None, None


def _as_matrix(weight: Tensor) -> Tensor:
    """Turn a kernel ``(C_out, C, k, ...)`` into ``(C_out, k ** D * C)``, channels fastest as in gathered rows."""
    return weight.movedim(1, -1).reshape(weight.shape[0], -1)


def _as_kernel(matrix: Tensor, like: Tensor) -> Tensor:
    return matrix.view(like.shape[0], *like.shape[2:], like.shape[1]).movedim(-1, 1)


def _convolve(blocks: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    dims = blocks.ndim - 2
    return torch.convolution(blocks, weight, bias, (stride,) * dims, (0,) * dims, (1,) * dims, False, (0,) * dims, 1)


def _convolve_backward(
    gradient: Tensor, blocks: Tensor, weight: Tensor, stride: int, needs_blocks: bool
) -> tuple[Tensor | None, Tensor]:
    dims = blocks.ndim - 2
    blocks_gradient, weight_gradient, _ = torch.ops.aten.convolution_backward(
        gradient, blocks, weight, None, (stride,) * dims, (0,) * dims, (1,) * dims, False, (0,) * dims, 1,
        (needs_blocks, True, False),
    )  # fmt: skip
    return (to_rows(blocks_gradient) if needs_blocks else None), weight_gradient
