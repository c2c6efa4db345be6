"""Convolution of blocks that see their visible neighbours, without storing the padded copies.

A feature map is handled as rows of channels ``(N * s ** D, C)``, one row a pixel: that is its channels-last memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_ext.networks.spark.block_layout import BlockLayout, RowGather

__all__ = ["block_convolution", "gather_halo", "to_blocks", "to_rows"]

# Up to this output side a block is so small that convolution kernels are mostly overhead: one matrix product over the
# gathered inputs is faster, in reduced precision even more (benchmarks/matrix_product.py).
_LARGEST_PRODUCT_SIDE = {torch.float32: 2, torch.float64: 2, torch.bfloat16: 4, torch.float16: 4}


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
        ctx.geometry = _Geometry(layout, side, stride, weight.shape[2], rows.dtype)
        ctx.has_bias = bias is not None
        with torch.autocast(rows.device.type, enabled=False):
            return _forward(rows, weight, bias, ctx.geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None, None, None]:
        rows, weight = ctx.saved_tensors
        geometry, gradient = ctx.geometry, gradients[0]
        rows_gradient = None
        if geometry.stride == 1 and ctx.needs_input_grad[0]:
            # The transpose of a convolution of stride 1 is the convolution with the flipped kernel: no scatter.
            rows_gradient = _forward(gradient, _flipped(weight), None, geometry)
        scatters = geometry.stride > 1 and ctx.needs_input_grad[0]
        gathered_gradient, weight_gradient = _backward(gradient, rows, weight, geometry, scatters)
        if gathered_gradient is not None:
            rows_gradient = _scatter(gathered_gradient.reshape(-1, rows.shape[1]), geometry.gather, rows.shape[0])
        return rows_gradient, weight_gradient, (gradient.sum(0) if ctx.has_bias else None), None, None, None


class _Geometry(NamedTuple):
    layout: BlockLayout
    side: int
    stride: int
    kernel: int
    dtype: torch.dtype

    @property
    def is_product(self) -> bool:
        """Whether all inputs of an output pixel are gathered side by side, for one matrix product."""
        return self.kernel == 1 or self.side // self.stride <= _LARGEST_PRODUCT_SIDE[self.dtype]

    @property
    def gather(self) -> RowGather:
        if self.is_product:
            return self.layout.taps(self.side, self.kernel // 2, self.kernel, self.stride)
        return self.layout.halo(self.side, self.kernel // 2)

    def padded(self, rows: Tensor) -> Tensor:
        return to_blocks(rows, self.side + self.kernel - 1, self.layout.spatial_dims)


def _forward(rows: Tensor, weight: Tensor, bias: Tensor | None, geometry: _Geometry) -> Tensor:
    gathered = _gather(rows, geometry.gather)
    if geometry.is_product:
        return _multiply(gathered.view(-1, weight[0].numel()), _as_matrix(weight), bias)
    dims = geometry.layout.spatial_dims
    return to_rows(torch.convolution(geometry.padded(gathered), weight, bias, *_options(geometry.stride, dims)))


def _backward(
    gradient: Tensor, rows: Tensor, weight: Tensor, geometry: _Geometry, needs_gathered: bool
) -> tuple[Tensor | None, Tensor]:
    """Give the gradients of the gathered rows (if needed) and of the weight."""
    gathered = _gather(rows, geometry.gather)
    if geometry.is_product:
        taps = gathered.view(-1, weight[0].numel())
        taps_gradient, matrix_gradient = _multiply_backward(gradient, taps, _as_matrix(weight), needs_gathered)
        shape = weight.shape[0], *weight.shape[2:], weight.shape[1]
        return taps_gradient, matrix_gradient.view(shape).movedim(-1, 1)
    dims = geometry.layout.spatial_dims
    outputs = to_blocks(gradient, geometry.side // geometry.stride, dims)
    padded_gradient, weight_gradient, _ = torch.ops.aten.convolution_backward(
        outputs,
        geometry.padded(gathered),
        weight,
        None,
        *_options(geometry.stride, dims),
        (needs_gathered, True, False),
    )
    return (to_rows(padded_gradient) if needs_gathered else None), weight_gradient


def _options(stride: int, dims: int) -> tuple[Any, ...]:
    """Stride, padding, dilation, transposed, output padding and groups of an unpadded convolution."""
    return (stride,) * dims, (0,) * dims, (1,) * dims, False, (0,) * dims, 1


def _as_matrix(weight: Tensor) -> Tensor:
    """Turn a kernel ``(C_out, C, k, ...)`` into ``(C_out, k ** D * C)``, channels fastest as in gathered rows."""
    return weight.movedim(1, -1).reshape(weight.shape[0], -1)


def _flipped(weight: Tensor) -> Tensor:
    return weight.flip(tuple(range(2, weight.ndim))).transpose(0, 1)


def _multiply(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute ``rows @ weight.T + bias`` with the kernel that is fastest for the device and dtype."""
    if _prefers_convolution(rows):
        image = F.conv2d(_as_image(rows), weight[:, :, None, None], bias)
        return image.movedim(1, -1).reshape(rows.shape[0], -1)
    return F.linear(rows, weight, bias)


def _multiply_backward(
    gradient: Tensor, rows: Tensor, weight: Tensor, needs_rows: bool
) -> tuple[Tensor | None, Tensor]:
    """Give the gradients of ``rows`` (if needed) and ``weight`` of :func:`_multiply`."""
    if _prefers_convolution(rows):
        image_gradient, kernel_gradient, _ = torch.ops.aten.convolution_backward(
            _as_image(gradient),
            _as_image(rows),
            weight[:, :, None, None],
            None,
            *_options(1, 2),
            (needs_rows, True, False),
        )
        rows_gradient = image_gradient.movedim(1, -1).reshape(rows.shape) if needs_rows else None
        return rows_gradient, kernel_gradient[:, :, 0, 0]
    return (gradient @ weight if needs_rows else None), gradient.T @ rows


def _prefers_convolution(rows: Tensor) -> bool:
    # In single precision on a CPU, oneDNN's 1 x 1 convolution over an image of M x 1 pixels is up to three times as
    # fast as the BLAS product of the same size (benchmarks/matrix_product.py).
    return rows.device.type == "cpu" and rows.dtype == torch.float32


def _as_image(rows: Tensor) -> Tensor:
    """View M rows of C channels as one image ``(1, C, M, 1)`` in channels-last memory."""
    return rows.contiguous().view(1, -1, 1, rows.shape[1]).movedim(-1, 1)
