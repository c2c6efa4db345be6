"""Active blocks: carry only the visible patches, as a batch of small dense blocks.

SparK's mask is made of whole patches. After the stem's stride a visible patch is a dense block of 16 x 16, then 8 x 8,
... 1 x 1 pixels, so the visible part of a feature map is a tensor ``(N, C, s, s)`` over the N visible patches of the
batch. Point-wise layers, activations and batch normalisation are ordinary dense operations on it. A k x k convolution
or a pooling first gathers a halo of k // 2 pixels from the visible neighbour blocks, with zeros elsewhere, and then
runs without padding. Nothing else is needed, in 2D and in 3D.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from monai_ext.networks.spark.block_convolution import block_convolution, gather_halo
from monai_ext.networks.spark.block_layout import BlockLayout

__all__ = ["ActiveBlocks"]


@dataclass(frozen=True)
class ActiveBlocks:
    """The visible part of a feature map (see :class:`monai_ext.networks.spark.features.SparseFeatures`).

    Args:
        values: ``(N, C, s, ...)``, the N visible blocks in the order of ``layout``, in channels-last memory.
        layout: where each block lies.
    """

    values: Tensor
    layout: BlockLayout

    @property
    def visible(self) -> Tensor:
        """Boolean ``(B, 1, *grid)``."""
        return self.layout.visible

    @property
    def side(self) -> int:
        """Pixels along one axis of a block."""
        return self.values.shape[2]

    @classmethod
    def from_image(cls, image: Tensor, visible: Tensor) -> ActiveBlocks:
        layout = BlockLayout(visible)
        side = image.shape[2] // visible.shape[2]
        return cls(_blocks_last(image, side)[layout.index].movedim(-1, 1), layout)

    def convolve(self, module: nn.Module) -> ActiveBlocks:
        return ActiveBlocks(block_convolution(self.values, module, self.layout), self.layout)

    def normalize(self, module: nn.Module) -> ActiveBlocks:
        return ActiveBlocks(module(self.values), self.layout)

    def activate(self, module: nn.Module) -> ActiveBlocks:
        return ActiveBlocks(module(self.values), self.layout)

    def pool(self, module: nn.Module) -> ActiveBlocks:
        kernel, stride = _pool_geometry(module, self.side)
        padded = gather_halo(self.values, self.layout, kernel // 2, outside=float("-inf"))
        pool = F.max_pool2d if self.layout.spatial_dims == 2 else F.max_pool3d
        return ActiveBlocks(pool(padded, kernel, stride), self.layout)

    def add(self, other: ActiveBlocks) -> ActiveBlocks:
        return ActiveBlocks(self.values.add_(other.values), self.layout)

    def scale_samples(self, factors: Tensor) -> ActiveBlocks:
        shape = (-1, *(1,) * (self.values.ndim - 1))
        per_block = factors.to(self.values.dtype)[self.layout.coordinates[:, 0]].view(shape)
        return ActiveBlocks(self.values * per_block, self.layout)

    def to_dense(self, fill: Tensor | None = None) -> Tensor:
        batch, channels = self.visible.shape[0], self.values.shape[1]
        spatial = [patches * self.side for patches in self.layout.grid]
        if fill is None:
            dense = self.values.new_zeros(batch, *spatial, channels)
        else:
            dense = fill.to(self.values.dtype).movedim(1, -1).expand(batch, *spatial, channels).contiguous()
        dense = dense.movedim(-1, 1)
        _blocks_last(dense, self.side)[self.layout.index] = self.values.movedim(1, -1)
        return dense


def _blocks_last(dense: Tensor, side: int) -> Tensor:
    """View ``(B, C, *spatial)`` as ``(B, *grid, side, ..., C)``."""
    dims = dense.ndim - 2
    for dim in range(dims):
        dense = dense.unflatten(2 + 2 * dim, (-1, side))
    grid, inside = range(2, 2 + 2 * dims, 2), range(3, 3 + 2 * dims, 2)
    return dense.permute(0, *grid, *inside, 1)


def _pool_geometry(module: nn.Module, side: int) -> tuple[int, int]:
    if not isinstance(module, nn.MaxPool2d | nn.MaxPool3d):
        raise TypeError(
            f"The layer {type(module).__name__} has no counterpart on active blocks; accepted: MaxPool2d, MaxPool3d."
        )
    kernel, stride = module.kernel_size, module.stride
    if isinstance(kernel, int) and isinstance(stride, int):
        same_size = kernel % 2 == 1 and module.padding == kernel // 2 and side % stride == 0
        if same_size and module.dilation == 1 and not module.ceil_mode:
            return kernel, stride
    raise TypeError(
        f"The pooling {module} cannot run on active blocks of {side} pixels. Accepted: one odd kernel size k for "
        'all axes, k // 2 padding, a stride that divides the block. Use backend="masked_dense".'
    )
