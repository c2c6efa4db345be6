"""The one way in for volumes: a folder, a store, or nothing at all, becomes patches for pre-training in 3D."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from monai_ext.data.holdout import hold_out
from monai_ext.data.open_slices import SourceSections, load_size_for, warn_of_sample
from monai_ext.data.phantoms.sample import embedded_volumes
from monai_ext.data.sources.open import open_source
from monai_ext.data.sources.source import MR_SIGNAL, SliceSource
from monai_ext.data.volumes.patches import AXES, VolumePatches
from monai_ext.data.volumes.prepared import PreparedVolume, Spacing, prepare_volumes
from monai_ext.errors import DatasetError
from monai_ext.transforms.window import WindowChoice

__all__ = ["VolumeSections", "open_volume_sections", "open_volumes"]

logger = logging.getLogger(__name__)

_LEAST_MM, _MOST_MM = 0.1, 20.0


class VolumeSections(SourceSections):
    """The patches to train on and those of volumes held out, of one folder; made by :func:`open_volume_sections`.

    Args:
        source: all slices.
        volumes: what was prepared of them.
        is_sample: whether they are those of the embedded sample.
        image_size, window, channels, spacing_mm, validation_fraction, seed: of :func:`open_volume_sections`.
    """

    spatial_dims = 3

    def __init__(
        self,
        source: SliceSource,
        volumes: Sequence[PreparedVolume],
        *,
        is_sample: bool,
        image_size: int,
        window: WindowChoice | Sequence[WindowChoice],
        channels: int,
        spacing_mm: Spacing,
        validation_fraction: float,
        seed: int,
    ) -> None:
        super().__init__(source, is_sample=is_sample)
        self.volumes = tuple(volumes)
        self.image_size, self.window, self.channels, self.spacing_mm = image_size, window, channels, spacing_mm
        self.validation_fraction, self.seed = validation_fraction, seed

    @cached_property
    def training(self) -> VolumePatches:
        """Patches to train on, half overlapping, larger than the views that are cropped from them."""
        return self._section("training", load_size_for(self.image_size), step=max(1, self.image_size // 2))

    @cached_property
    def validation(self) -> VolumePatches:
        """Patches of the network's size side by side; they share no patient with :attr:`training`."""
        return self._section("validation", self.image_size, step=self.image_size)

    @cached_property
    def everything(self) -> VolumePatches:
        """Patches of the network's size side by side, of all volumes."""
        return self._section("all", self.image_size, step=self.image_size)

    @property
    def settings(self) -> dict[str, Any]:
        """What a run is described by, as plain values."""
        return super().settings | {
            "spatial_dims": self.spatial_dims,
            "spacing_mm": list(self.spacing_mm),
            "axes": AXES,
        }

    def _section(self, section: str, size: int, *, step: int) -> VolumePatches:
        patches = VolumePatches(
            self.source,
            [self.volumes[number] for number in self._choose(section)],
            size=size,
            step=step,
            spacing_mm=self.spacing_mm,
            window=self.window,
            channels=self.channels,
            labels={
                "source": "embedded sample" if self.is_sample else str(self.source.root),
                "section": section,
                "seed": self.seed,
                "validation_fraction": self.validation_fraction,
            },
        )
        _report(patches, is_sample=self.is_sample)
        return patches

    def _choose(self, section: str) -> Sequence[int]:
        """Which volumes make up the section: whole patients are held out."""
        if section == "all":
            return range(len(self.volumes))
        owners = [self.source.held_together[stack.indices[0]] for stack, _ in self.volumes]
        if len(set(owners)) == 1 and len(owners) < 3 and self.validation_fraction > 0:
            raise DatasetError(
                f"Nothing can be held out of {len(owners)} volume(s) of one {self.source.grouped_by}: give volumes of a"
                " second patient, or pre-train on the slices, in 2D."
            )
        training, validation = hold_out(owners, fraction=self.validation_fraction, seed=self.seed)
        if section == "validation" and not validation:
            raise DatasetError(
                "No volume is left for the section 'validation': with validation_fraction=0 none is held out. Set it to"
                " a fraction such as 0.1."
            )
        return training if section == "training" else validation


def open_volume_sections(
    dataset_dir: str | Path | SliceSource | None = None,
    *,
    image_size: int = 96,
    spacing_mm: float | Sequence[float] = 1.5,
    window: WindowChoice | Sequence[WindowChoice] = "full",
    channels: int = 1,
    validation_fraction: float = 0.1,
    seed: int = 0,
    prepared_dir: str | Path | None = None,
    num_workers: int = 0,
) -> VolumeSections:
    """Open the volumes of a folder for training and validation as float32 patches (C, S, S, S) in [0, 1].

    Volumes are brought to one spacing and to the axes superior, posterior, left, once, see
    :func:`~monai_ext.data.volumes.prepared.prepare_volumes`. Training patches have S = 8/7 ``image_size``, those of the
    other sections exactly ``image_size``, ready for the network.

    Args:
        dataset_dir: a folder of NIfTI, MetaImage, NRRD or DICOM, one such volume, a slice store made of them, or an
            opened source. The embedded sample of phantom CT when omitted.
        image_size: side of the network's input in voxels.
        spacing_mm: distance of voxels in mm: one number, or three, of slices, rows and columns.
        window: which Hounsfield units become 0 .. 1: a preset, ``[center_hu, width_hu]``, or a list with one a channel.
        channels: C; one window is repeated, a list of windows must be as long.
        validation_fraction: part of the patients (of a store), series or volumes that is held out.
        seed: chooses what is held out.
        prepared_dir: where prepared volumes are kept; in the user's cache folder when omitted.
        num_workers: processes that prepare volumes; 0 prepares in this one.

    Raises:
        DatasetError: the folder does not exist, holds no volume that can be used, pictures, or MR; or it cannot be
            written where prepared volumes are kept.
        ValueError: a spacing that no CT has, an unknown window, or windows that do not fit the channels.
    """
    spacing = _checked_spacing(spacing_mm)
    source = dataset_dir if isinstance(dataset_dir, SliceSource) else open_source(dataset_dir or embedded_volumes())
    if source.values == MR_SIGNAL:
        raise DatasetError(
            "{root} holds MR, and volumes are pre-trained on in Hounsfield units, with air around them. Train on its"
            " slices (without the overlay volumes.json, with window 'percentiles'), or give a folder or a store of CT.",
            root=source.root,
        )
    volumes = prepare_volumes(
        source, spacing_mm=spacing, least_side=image_size, folder=prepared_dir, num_workers=num_workers
    )
    return VolumeSections(
        source,
        volumes,
        is_sample=dataset_dir is None,
        image_size=image_size,
        window=window,
        channels=channels,
        spacing_mm=spacing,
        validation_fraction=validation_fraction,
        seed=seed,
    )


def open_volumes(dataset_dir: str | Path | SliceSource | None = None, **options: Any) -> VolumePatches:
    """All volumes of a folder in patches of the network's size, side by side: for inference.

    Args:
        dataset_dir: as of :func:`open_volume_sections`.
        options: those of :func:`open_volume_sections`.
    """
    return open_volume_sections(dataset_dir, **options).everything


def _checked_spacing(spacing_mm: float | Sequence[float]) -> Spacing:
    sides = [spacing_mm] * 3 if isinstance(spacing_mm, int | float) else list(spacing_mm)
    if len(sides) != 3 or not all(isinstance(side, int | float) and _LEAST_MM <= side <= _MOST_MM for side in sides):
        raise ValueError(
            f"spacing_mm is a distance of voxels in mm, or three, of slices, rows and columns, each from {_LEAST_MM:g}"
            f" to {_MOST_MM:g}; received {spacing_mm}."
        )
    depth, height, width = map(float, sides)
    return depth, height, width


def _report(patches: VolumePatches, *, is_sample: bool) -> None:
    content = patches.describe()
    if is_sample and content["section"] == "training":
        warn_of_sample(patches.source.root, "volumes")
    logger.info(
        "%s: %d patches of %d voxels in %d volumes of kind %s in %d groups (by %s) from %s.",
        content["section"].capitalize(),
        content["count"],
        content["load_size"],
        content["volumes"],
        content["kind"],
        content["groups"],
        content["grouped_by"],
        content["source"],
    )
