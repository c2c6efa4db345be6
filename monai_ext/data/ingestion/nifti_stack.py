"""Stacks from volumes in NIfTI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.dicom.selection import LARGEST_SIDE
from monai_ext.data.ingestion.defacing import deface
from monai_ext.data.ingestion.messages import FileRef, Stack
from monai_ext.data.ingestion.options import IngestOptions
from monai_ext.data.ingestion.stack_making import Plane, file_unit, hash_content, to_pixels
from monai_ext.data.pseudonyms import Pseudonyms
from monai_ext.data.store.codec import pack_series
from monai_ext.errors import DatasetError

__all__ = ["read_nifti"]

_SUPERIOR = 2
_AXIAL = (1, 0, 0, 0, 1, 0)


def read_nifti(source: Path, one: FileRef, *, options: IngestOptions, pseudonyms: Pseudonyms) -> Stack:
    """All axial slices of a volume in Hounsfield units, from the feet upwards.

    Raises:
        Refusal: it is too large, damaged, or a label map.
    """
    import nibabel

    from monai_ext.data.sources.nifti import NiftiSource

    path = source / one.name
    try:
        image: Any = nibabel.load(path)
        shape, affine = tuple(map(int, image.shape[:3])), np.asarray(image.affine, dtype=np.float64)
    except OSError:
        raise
    except Exception as error:  # nibabel raises errors of many types on damaged headers
        raise Refusal(SkipReason.DAMAGED, type(error).__name__) from None
    if min(shape, default=0) < 1 or max(shape) > LARGEST_SIDE:
        raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, f"its shape is {' x '.join(map(str, shape))}")
    if 2 * float(np.prod(shape, dtype=np.float64)) > options.largest_part_bytes:
        raise Refusal(SkipReason.TOO_LARGE, "raise --largest-series-mib")
    try:
        volume = NiftiSource(source, [path])
        slices = [volume.read(number) for number in range(len(volume))]
    except DatasetError:
        raise Refusal(SkipReason.LABEL_MAP) from None
    if min(float(plane.min()) for plane in slices) >= 0:
        raise Refusal(SkipReason.LABEL_MAP)
    plane = Plane(rows=slices[0].shape[0], columns=slices[0].shape[1], in_plane=options.in_plane, dtype=np.int16)
    pixels = to_pixels(slices, plane)
    geometry = _geometry(affine, shape)
    shared: dict[str, Any] = {
        "patient_id": pseudonyms.of("patient", options.patient_from_name(one.name) or one.name),
        "study_id": pseudonyms.of("study", "nifti", one.name),
        "modality": "CT",
        "source_format": "nifti",
        "site": options.site,
        "slice_spacing_mm": geometry["slice_spacing_mm"],
        **plane.spacing(geometry["row_spacing_mm"], geometry["column_spacing_mm"]),
    }
    positions = geometry["first_mm"] + geometry["slice_spacing_mm"] * np.arange(len(slices))
    done = {}
    if options.deface:
        spacing = shared["row_spacing_mm"], shared["column_spacing_mm"]
        done["deface"] = deface(pixels, positions_mm=positions, spacing_mm=spacing, orientation=_AXIAL, body_part=None)
    return Stack(
        units=[file_unit(one.name, pseudonyms)],
        series=pseudonyms.digest("series", "nifti", one.name),
        provenance=plane.provenance() | {"format": "nifti", "findings": [], **done},
        instances={pseudonyms.digest("instance", "nifti", one.name, hash_content(path)): one.file},
        completes=[one.file],
        content=pack_series(pixels, [shared | {"position_mm": float(position)} for position in positions]),
    )


def _geometry(affine: np.ndarray, shape: tuple[int, ...]) -> dict[str, float]:
    """Distances in mm along the patient's axes, and the height of the lowest slice."""
    import nibabel

    orientation = nibabel.io_orientation(affine)
    axes = [int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3)]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    along = axes[_SUPERIOR]
    ends = [affine[_SUPERIOR, 3] + affine[_SUPERIOR, along] * number for number in (0, shape[along] - 1)]
    return {
        "row_spacing_mm": float(spacing[axes[1]]),
        "column_spacing_mm": float(spacing[axes[0]]),
        "slice_spacing_mm": float(spacing[along]),
        "first_mm": float(min(ends)),
    }
