"""Sparse execution by MinkowskiEngine: a list of active points, a hash map of their coordinates, and kernel maps.

Choy, Gwak, Savarese, "4D Spatio-Temporal ConvNets: Minkowski Convolutional Neural Networks", CVPR 2019
(arXiv 1904.08755). The parameters stay in the encoder's own dense layers; only the library's functions are used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_ext.networks.spark.minkowski_layout import MinkowskiLayout

__all__ = ["MinkowskiFeatures"]


@dataclass(frozen=True)
class MinkowskiFeatures:
    """The active points of a feature map (see :class:`monai_ext.networks.spark.features.SparseFeatures`).

    Computes in the type of the parameters, single or double precision, also under autocast: MinkowskiEngine has no
    other. The mask may be finer than SparK's patches: a point is active when one of its pixels is visible.

    Args:
        rows: ``(N, C)``, one row an active point.
        layout: where the points lie.
        stride: pixels of the image between neighbouring points, along each axis.
    """

    rows: Tensor
    layout: MinkowskiLayout
    stride: tuple[int, ...]

    @property
    def visible(self) -> Tensor:
        """Boolean ``(B, 1, *grid)``."""
        return self.layout.visible

    @classmethod
    def from_image(cls, image: Tensor, visible: Tensor) -> MinkowskiFeatures:
        layout = MinkowskiLayout(visible, image.shape[2:])
        stride = (1,) * layout.spatial_dims
        return cls(image.movedim(1, -1)[layout.level(stride).points], layout, stride)

    def convolve(self, module: nn.Module) -> MinkowskiFeatures:
        window = _convolution_window(module)
        weight, bias = module.weight, module.bias
        with torch.autocast(self.rows.device.type, enabled=False):
            rows = self.rows.to(weight.dtype)  # type: ignore[arg-type]
            if window.is_point:
                return replace(self, rows=F.linear(rows, weight.flatten(1), bias))  # type: ignore[operator,arg-type]
            from MinkowskiEngineBackend._C import ConvolutionMode

            rows = self.layout.engine.MinkowskiConvolutionFunction.apply(
                rows,
                _kernel(weight),  # type: ignore[arg-type]
                window.generator(self.layout),
                ConvolutionMode.DEFAULT,
                *self._maps(module, window),
            )
            return self._after(window, rows if bias is None else rows + bias)

    def normalize(self, module: nn.Module) -> MinkowskiFeatures:
        points = self.rows.unflatten(1, (-1, *(1,) * self.layout.spatial_dims))  # images of one pixel
        return replace(self, rows=module(points).flatten(1))

    def activate(self, module: nn.Module) -> MinkowskiFeatures:
        return replace(self, rows=module(self.rows))

    def pool(self, module: nn.Module) -> MinkowskiFeatures:
        window = _pool_window(module)
        maps = self._maps(module, window)
        from MinkowskiEngineBackend._C import PoolingMode

        rows = self.layout.engine.MinkowskiLocalPoolingFunction.apply(
            _ordered(self.rows), PoolingMode.LOCAL_MAX_POOLING, window.generator(self.layout), *maps
        )
        pooled = self._after(window, rows)
        beside_masked = self._beside_masked(window, pooled)
        return replace(pooled, rows=rows.masked_fill(beside_masked & (rows < 0), 0.0))

    def add(self, other: MinkowskiFeatures) -> MinkowskiFeatures:
        return replace(self, rows=self.rows.add_(other.rows))

    def scale_samples(self, factors: Tensor) -> MinkowskiFeatures:
        sample = self.layout.level(self.stride).points[0]
        return replace(self, rows=self.rows * factors.to(self.rows.dtype)[sample, None])

    def to_dense(self, fill: Tensor | None = None) -> Tensor:
        level = self.layout.level(self.stride)
        shape = self.visible.shape[0], *level.spatial, self.rows.shape[1]
        if fill is None:
            dense = self.rows.new_zeros(shape)
        else:
            dense = fill.to(self.rows.dtype).movedim(1, -1).expand(shape).contiguous()
        dense[level.points] = self.rows
        return dense.movedim(-1, 1)

    def _after(self, window: _Window, rows: Tensor) -> MinkowskiFeatures:
        return MinkowskiFeatures(rows, self.layout, window.output_stride(self.stride))

    def _maps(self, module: nn.Module, window: _Window) -> tuple[Any, Any, Any]:
        """Input map, output map and their manager."""
        stride = window.output_stride(self.stride)
        if not self.layout.divisible_by(stride):
            raise TypeError(
                f"The layer {module} cannot run at this depth: its output points would be {stride} pixels apart, and "
                f"an image of {tuple(self.layout.image_size)} pixels with a mask of {tuple(self.visible.shape[2:])} "
                "patches does not divide into them. Accepted: strides that divide the patch."
            )
        return self.layout.level(self.stride).key, self.layout.level(stride).key, self.layout.manager

    def _beside_masked(self, window: _Window, pooled: MinkowskiFeatures) -> Tensor:
        """Whether the window of each output point holds a masked pixel of the image, boolean ``(N, 1)``."""
        masked = (~self.layout.level(self.stride).active).float()
        pool = F.max_pool2d if self.layout.spatial_dims == 2 else F.max_pool3d
        found = pool(masked, window.kernel, window.stride, window.padding, window.dilation) > 0
        return found[:, 0][self.layout.level(pooled.stride).points][:, None]


class _Window(NamedTuple):
    """Geometry of a convolution or pooling along each axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def padding(self) -> tuple[int, ...]:
        return tuple(k // 2 * d for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def is_point(self) -> bool:
        return set(self.kernel) == set(self.stride) == {1}

    def output_stride(self, stride: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(a * b for a, b in zip(stride, self.stride, strict=True))

    def generator(self, layout: MinkowskiLayout) -> Any:
        kernel, stride, dilation = (list(axes[::-1]) for axes in self)  # MinkowskiLayout counts axes backwards
        return layout.engine.KernelGenerator(kernel, stride, dilation, dimension=layout.spatial_dims)


def _convolution_window(module: nn.Module) -> _Window:
    if not isinstance(module, nn.Conv2d | nn.Conv3d):
        raise TypeError(
            f'The layer {type(module).__name__} has no counterpart in the backend "minkowski"; accepted: Conv2d, '
            'Conv3d. Use backend="masked_dense".'
        )
    if module.weight.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"MinkowskiEngine computes in float32 and float64; the weight of {module} is {module.weight.dtype}. Keep "
            'the parameters in float32, or use backend="active_blocks".'
        )
    return _window(module, plain=module.groups == 1 and module.padding_mode == "zeros")


def _pool_window(module: nn.Module) -> _Window:
    if not isinstance(module, nn.MaxPool2d | nn.MaxPool3d):
        raise TypeError(
            f'The layer {type(module).__name__} has no counterpart in the backend "minkowski"; accepted: MaxPool2d, '
            'MaxPool3d. Use backend="masked_dense".'
        )
    return _window(module, plain=not module.ceil_mode and not module.return_indices)


def _window(module: Any, *, plain: bool) -> _Window:
    dims = 2 if isinstance(module, nn.Conv2d | nn.MaxPool2d) else 3
    values = module.kernel_size, module.stride, module.dilation, module.padding
    kernel, stride, dilation, padding = (v if isinstance(v, tuple) else (v,) * dims for v in values)
    window = _Window(kernel, stride, dilation)
    if plain and padding == window.padding and all(k % 2 == 1 for k in kernel):
        return window
    raise TypeError(
        f'The layer {module} has no counterpart in the backend "minkowski". Accepted: odd kernel sizes k, padding '
        'k // 2 * dilation with zeros, no groups, no ceil_mode, no indices. Use backend="masked_dense".'
    )


def _kernel(weight: Tensor) -> Tensor:
    """Arrange a weight ``(C_out, C_in, k, ...)`` as MinkowskiEngine's kernel ``(k ** D, C_in, C_out)``."""
    return weight.flatten(2).permute(2, 1, 0).contiguous()


def _ordered(rows: Tensor) -> Tensor:
    """Replace NaN and infinity, for which MinkowskiEngine's pooling finds no maximum and writes out of bounds."""
    if bool(torch.isfinite(rows).all()):
        return rows
    return rows.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=torch.finfo(rows.dtype).min / 2)
