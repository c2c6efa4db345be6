"""Stacks from volumes in NIfTI, MetaImage and NRRD."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.dicom.selection import LARGEST_SIDE
from monai_ext.data.dicom.signal import RESCALED
from monai_ext.data.ingestion.defacing import deface
from monai_ext.data.ingestion.messages import FileRef, Stack
from monai_ext.data.ingestion.options import IngestOptions
from monai_ext.data.ingestion.stack_making import Plane, file_unit, hash_content
from monai_ext.data.percentiles import RunningPercentiles
from monai_ext.data.pseudonyms import Pseudonyms
from monai_ext.data.sources.folder_scan import NIFTI_SUFFIXES
from monai_ext.data.sources.itk_volumes import ItkVolume
from monai_ext.data.sources.nifti import NiftiVolume
from monai_ext.data.sources.volume_file import VolumeFile
from monai_ext.data.store.codec import pack_series

__all__ = ["read_volume"]

_AXIAL = (1, 0, 0, 0, 1, 0)
_MOST_LABELS = 64
"""A volume of so few whole numbers is a label map: MR has hundreds; whole-brain parcellations may have more."""


def read_volume(
    source: Path, reference: FileRef, *, source_kind: str, options: IngestOptions, pseudonyms: Pseudonyms
) -> Stack:
    """All axial slices of a volume, from the feet upwards: in Hounsfield units, or MR on the scale of its percentiles.

    Raises:
        Refusal: it is too large, damaged, of another modality or unit, or a label map.
        OSError: it cannot be read.
    """
    path = source / reference.name
    kind = NiftiVolume if path.name.lower().endswith(NIFTI_SUFFIXES) else ItkVolume
    modality = source_kind.upper()
    volume = kind.open(path, is_isolated=False, modality=modality)
    grid = volume.grid
    if max(grid.shape) > LARGEST_SIDE:
        raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, f"its shape is {' x '.join(map(str, grid.shape))}")
    if 2 * float(np.prod(grid.shape, dtype=np.float64)) > options.largest_part_bytes:
        raise Refusal(SkipReason.TOO_LARGE, "raise --largest-series-mib")
    if modality == "CT" and not volume.can_be_negative:
        raise Refusal(SkipReason.LABEL_MAP, "its type holds no negative values")
    plane = Plane(*grid.rows_columns, in_plane=options.in_plane, dtype=np.int16)
    if modality == "CT":
        pixels, noted = _hounsfield(volume, plane), {"unit": _unit(volume)}
    else:
        pixels, noted = _signal(volume, plane)
    shared = {"modality": modality, "source_format": volume.format_code}
    return _stack(volume, plane, pixels, reference, shared, noted, options=options, pseudonyms=pseudonyms)


def _signal(volume: VolumeFile, plane: Plane) -> tuple[np.ndarray, dict[str, Any]]:
    """(n, rows, columns) of MR on the scale of its percentiles, and what is noted of it."""
    values = volume.values()
    seen = RunningPercentiles()
    for number in range(volume.grid.slices):
        seen.add(volume.plane(number, values))
    if seen.is_whole and seen.different_values <= _MOST_LABELS:
        raise Refusal(SkipReason.LABEL_MAP, f"it has {seen.different_values} different values, all of them whole")
    scale = seen.scale(origin=RESCALED)  # NIfTI's slope holds for the volume; MetaImage and NRRD have none
    if scale is None:
        raise Refusal(SkipReason.NO_CONTRAST)
    pixels = np.empty((volume.grid.slices, *plane.shape), plane.dtype)
    for number in range(len(pixels)):
        plane.convert(scale(volume.plane(number, values)), into=pixels[number])
    return pixels, scale.provenance()


def _hounsfield(volume: VolumeFile, plane: Plane) -> np.ndarray:
    """(n, rows, columns) whole Hounsfield units."""
    values = volume.values()
    pixels = np.empty((volume.grid.slices, *plane.shape), plane.dtype)
    lowest = np.inf
    for number in range(len(pixels)):
        hounsfield = volume.plane(number, values)
        lowest = min(lowest, float(hounsfield.min()))
        plane.convert(hounsfield, into=pixels[number])
    if lowest >= 0:
        raise Refusal(SkipReason.LABEL_MAP, "it has no value below 0")
    return pixels


def _stack(
    volume: VolumeFile,
    plane: Plane,
    pixels: np.ndarray,
    reference: FileRef,
    coded: Mapping[str, str],
    noted: Mapping[str, Any],
    *,
    options: IngestOptions,
    pseudonyms: Pseudonyms,
) -> Stack:
    spacing = volume.grid.spacing()
    kind, name = volume.format_code, reference.name
    shared: dict[str, Any] = {
        "patient_id": pseudonyms.of("patient", options.patient_from_name(name) or name),
        "study_id": pseudonyms.of("study", kind, name),
        **coded,
        "site": options.site,
        "slice_spacing_mm": spacing["slice_spacing_mm"],
        **plane.spacing(spacing["row_spacing_mm"], spacing["column_spacing_mm"]),
    }
    positions = spacing["first_mm"] + spacing["slice_spacing_mm"] * np.arange(len(pixels))
    done = {}
    if options.deface:
        sides = shared["row_spacing_mm"], shared["column_spacing_mm"]
        done["deface"] = deface(pixels, positions_mm=positions, spacing_mm=sides, orientation=_AXIAL, body_part=None)
    content = b"".join(map(hash_content, volume.files))
    return Stack(
        units=[file_unit(name, pseudonyms)],
        series=pseudonyms.digest("series", kind, name),
        provenance=plane.provenance() | {"format": kind, "findings": [], **noted, **done},
        instances={pseudonyms.digest("instance", kind, name, content): reference.file},
        completes=[reference.file],
        content=pack_series(pixels, [shared | {"position_mm": float(position)} for position in positions]),
    )


def _unit(volume: VolumeFile) -> str:
    """Whether the file says that its values are Hounsfield units; its negative values speak for it otherwise."""
    return "HU-as-declared" if volume.says_hounsfield else "HU-assumed"
