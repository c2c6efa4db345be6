"""Cubes of prepared volumes as a PyTorch dataset."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from torch.utils.data import Dataset

from monai_ext.data.sources.source import SliceSource
from monai_ext.data.volumes.prepared import PreparedVolume, Spacing
from monai_ext.errors import DatasetError
from monai_ext.transforms.window import HounsfieldWindow, WindowChoice

__all__ = ["AXES", "VolumePatches", "cube_starts"]

AXES = "SPL"
"""Where the axes of a patch point: superior, posterior, left. A plane of the first is an axial slice as it is shown."""

Place = tuple[int, int, int]


class VolumePatches(Dataset[torch.Tensor]):
    """Cubes of volumes as float32 tensors (C, S, S, S) in [0, 1]; made by ``open_volume_sections``.

    They lie on a grid that covers each volume evenly, neighbours overlapping where ``step`` is smaller than the cube.
    Cubes that hold little but air are left out: their noise would be amplified to a target. Which cube an item is never
    changes; what is random about it (where a view is cut) is drawn by the views, so that a resumed training sees the
    same as an uninterrupted one. Windowing comes last; nothing is scaled by a volume's own minimum and maximum.

    Args:
        source: where the volumes come from.
        volumes: those of this section.
        size: S, side of a cube in voxels.
        step: distance of neighbouring cubes in voxels, at most.
        spacing_mm: of the voxels.
        window: preset, ``[center_hu, width_hu]``, or a list of them, as of
            :class:`~monai_ext.transforms.HounsfieldWindow`.
        channels: C. One window is repeated; several windows must be as many as channels.
        least_tissue: share of a cube that must not be air.
        labels: what ``describe`` says about this selection besides.

    Raises:
        ValueError: windows that do not fit the channels.
        DatasetError: all cubes are air.
    """

    def __init__(
        self,
        source: SliceSource,
        volumes: Sequence[PreparedVolume],
        *,
        size: int,
        step: int,
        spacing_mm: Spacing,
        window: WindowChoice | Sequence[WindowChoice] = "full",
        channels: int = 1,
        least_tissue: float = 0.1,
        labels: dict[str, Any] | None = None,
    ) -> None:
        self.source, self.volumes = source, tuple(volumes)
        self.size, self.step, self.spacing_mm = size, step, spacing_mm
        self.channels = channels
        self.window = HounsfieldWindow(window, channels=channels)
        self._labels = labels or {}
        cubes = [
            (number, start)
            for number, (_, bricks) in enumerate(self.volumes)
            for start in cube_starts(bricks.shape, size=size, step=step)
        ]
        self._places = [cube for cube in cubes if self._tissue(*cube) >= least_tissue]
        self.left_out = len(cubes) - len(self._places)
        if not self._places:
            raise DatasetError(
                f"All {len(cubes)} patches of {size} voxels hold less than {least_tissue:.0%} of tissue (above -900"
                " HU): these volumes are no CT in Hounsfield units, or show air alone."
            )

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, item: int) -> torch.Tensor:
        """The cube as float32 (C, S, S, S) in [0, 1]; air where it reaches beyond its volume.

        Raises:
            DatasetError: the prepared volume is damaged.
        """
        number, start = self._places[item]
        values = torch.from_numpy(self.volumes[number][1].read(start, (self.size,) * 3))
        planes = self.window(values[:, None]).movedim(1, 0)  # a window sees axial slices (S, 1, S, S)
        return (planes if len(planes) == self.channels else planes.expand(self.channels, -1, -1, -1)).contiguous()

    @property
    def groups(self) -> tuple[str, ...]:
        """Pseudonym of what each cube belongs to: never on both sides of a split."""
        of_volumes = [self.source.groups[stack.indices[0]] for stack, _ in self.volumes]
        return tuple(of_volumes[number] for number, _ in self._places)

    @property
    def fingerprint(self) -> str:
        """Identifies the source's data."""
        return self.source.fingerprint

    def describe(self) -> dict[str, Any]:
        """What is in it, as plain JSON values without identity."""
        shapes = sorted((bricks.shape for _, bricks in self.volumes), key=lambda shape: shape[0] * shape[1] * shape[2])
        return {
            "count": len(self),
            "kind": self.source.kind,
            "source": str(self.source.root),
            **self._labels,
            "groups": len(set(self.groups)),
            "grouped_by": self.source.grouped_by,
            "values": "Hounsfield units",
            "windows_hu": [[window.center_hu, window.width_hu] for window in self.window.windows],
            "channels": self.channels,
            "load_size": self.size,
            "step": self.step,
            "spatial_dims": 3,
            "spacing_mm": list(self.spacing_mm),
            "axes": AXES,
            "volumes": len(self.volumes),
            "smallest_volume": list(shapes[0]),
            "largest_volume": list(shapes[-1]),
            "patches_of_air_left_out": self.left_out,
            "fingerprint": self.fingerprint,
        }

    def _tissue(self, number: int, start: Place) -> float:
        return self.volumes[number][1].tissue(start, (self.size,) * 3)


def cube_starts(shape: Sequence[int], *, size: int, step: int) -> list[Place]:
    """First voxels of cubes that cover a volume evenly, at most ``step`` apart; a short side is covered by its middle.

    >>> cube_starts((10, 4, 3), size=4, step=4)
    [(0, 0, 0), (3, 0, 0), (6, 0, 0)]
    """

    def along(side: int) -> list[int]:
        room = side - size
        if room <= 0:
            return [-(-room // 2)]
        count = -(-room // step)
        return [round(number * room / count) for number in range(count + 1)]

    return list(product(*(along(side) for side in shape)))  # type: ignore[arg-type]
