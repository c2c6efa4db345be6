"""Where the active points of a batch lie at every resolution, as coordinate maps of MinkowskiEngine."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_ext.networks.spark.minkowski_engine import minkowski_engine

__all__ = ["MinkowskiLayout", "MinkowskiLevel"]


class MinkowskiLevel(NamedTuple):
    """The active points at one resolution.

    Args:
        key: MinkowskiEngine's name for the coordinate map.
        active: boolean ``(B, 1, *spatial)`` at this resolution.
        points: sample and position of every row, to index a tensor ``(B, *spatial, ...)``.
    """

    key: Any
    active: Tensor
    points: tuple[Tensor, ...]

    @property
    def spatial(self) -> torch.Size:
        """Number of pixels along each axis."""
        return self.active.shape[2:]


class MinkowskiLayout:
    """The coordinate maps of one forward pass, one a resolution; shared by all features of the pass.

    A point of a coarser resolution is active when one of the image's pixels under it is visible. For masks of whole
    patches this is SparK's rule that the mask keeps its shape. The coordinates are given for each resolution: otherwise
    MinkowskiEngine would derive them from the layers.

    Its axes are counted from the last to the first. Then its kernels, of which the first axis runs fastest, have the
    order of torch's, and equal maxima in a pooling window are resolved alike.

    Args:
        visible: boolean ``(B, 1, *grid)``; each axis of the image is a multiple of ``grid``. On the image's device.
        image_size: pixels of the image along each axis.

    Raises:
        ValueError: When nothing is visible, or MinkowskiEngine was built without CUDA and ``visible`` is on a GPU.
    """

    def __init__(self, visible: Tensor, image_size: torch.Size) -> None:
        self.visible = visible
        self.image_size = image_size
        self.engine = minkowski_engine()
        if visible.is_cuda and not self.engine.is_cuda_available():
            raise ValueError(
                f'The backend "minkowski" received a tensor on {visible.device}, and MinkowskiEngine was built without '
                "CUDA. Build it where the CUDA toolkit is (`bash scripts/install_minkowski.sh --rebuild`), move model "
                'and data to the CPU, or use backend="active_blocks".'
            )
        if not visible.any():
            raise ValueError("The mask has no visible position; sparse features need at least one in the batch.")
        kind = self.engine.CoordinateMapType
        self.manager = self.engine.CoordinateManager(
            D=self.spatial_dims,
            num_threads=0,  # any other number would set the threads of torch, too
            coordinate_map_type=kind.CUDA if visible.is_cuda else kind.CPU,
        )
        self._levels: dict[tuple[int, ...], MinkowskiLevel] = {}

    @property
    def spatial_dims(self) -> int:
        """2 or 3."""
        return len(self.image_size)

    def divisible_by(self, stride: tuple[int, ...]) -> bool:
        """Whether image and patches divide into points of ``stride`` pixels."""
        axes = zip(self.image_size, self.visible.shape[2:], stride, strict=True)
        return all(
            size % step == 0 and (size // step % patches == 0 or patches % (size // step) == 0)
            for size, patches, step in axes
        )

    def level(self, stride: tuple[int, ...]) -> MinkowskiLevel:
        """Give the active points that are ``stride`` pixels of the image apart along each axis."""
        if stride not in self._levels:
            self._levels[stride] = self._insert(stride)
        return self._levels[stride]

    def _insert(self, stride: tuple[int, ...]) -> MinkowskiLevel:
        spatial = [size // step for size, step in zip(self.image_size, stride, strict=True)]
        shrink = F.adaptive_max_pool2d if self.spatial_dims == 2 else F.adaptive_max_pool3d
        active = shrink(self.visible.float(), spatial) > 0  # repeats where the grid is coarser
        points = active[:, 0].nonzero()
        points[:, 1:] *= points.new_tensor(stride)
        backwards = [0, *range(self.spatial_dims, 0, -1)]
        key, _ = self.manager.insert_and_map(points[:, backwards].int().contiguous(), stride[::-1])
        stored = self.manager.get_coordinates(key)[:, backwards].long()  # in the order of the rows
        stored[:, 1:] //= stored.new_tensor(stride)
        return MinkowskiLevel(key, active, stored.unbind(1))
