"""Makes small DICOM files for tests: classic and enhanced CT, with any element changed or left out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence as SequenceOf
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, FileMetaDataset, Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

_SHAPE = (8, 6)


def uid(*parts: object) -> str:
    """A UID that is the same for the same parts."""
    return f"1.2.826.0.1.3680043.8.498.{int(hashlib.sha256(repr(parts).encode()).hexdigest()[:24], 16)}"


def ct_slice(
    position_mm: float = 0.0, *, values: np.ndarray | None = None, series: str = "a", **changes: Any
) -> Dataset:
    """A slice of CT, by default 8 x 6 pixels of unsigned 16 bit with intercept -1024.

    Args:
        position_mm: along the patient's axis.
        values: (rows, columns) stored values.
        series: tells series apart, and with them studies and patients.
        changes: elements by keyword; one that is None is left out.
    """
    values = ramp() if values is None else values
    elements = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": uid(series, position_mm),
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImagePositionPatient": [-100.0, -100.0, position_mm],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.7, 0.8],
        "SliceThickness": 2.5,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "RescaleType": "HU",
    }
    return _dataset(_identity(series) | elements | _pixels(values) | changes)


def mr_slice(
    position_mm: float = 0.0, *, values: np.ndarray | None = None, philips: float | None = None, **changes: Any
) -> Dataset:
    """A slice of MR as most scanners write it: 12 bits of 16, unsigned, no rescale.

    Args:
        position_mm: along the patient's axis.
        values: (rows, columns) stored values.
        philips: Scale Slope of Philips' private block.
        changes: as of :func:`ct_slice`.
    """
    elements = {
        "SOPClassUID": MRImageStorage,
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "SE"],
        "BodyPartExamined": "BRAIN",
        "ConvolutionKernel": None,
        "BitsStored": 12,
        "HighBit": 11,
        **dict.fromkeys(("RescaleSlope", "RescaleIntercept", "RescaleType")),
    }
    dataset = ct_slice(position_mm, values=values, **elements | changes)
    if philips is not None:
        block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", philips)
    return dataset


def enhanced_mr(positions_mm: SequenceOf[float], *, values: np.ndarray, slopes: SequenceOf[float]) -> Dataset:
    """An enhanced multi-frame MR of (frames, rows, columns) ``values``, every frame with a slope of its own."""
    dataset = enhanced_ct(
        positions_mm,
        values=values,
        intercepts=[0.0] * len(positions_mm),
        SOPClassUID=EnhancedMRImageStorage,
        Modality="MR",
    )
    for frame, slope in zip(dataset.PerFrameFunctionalGroupsSequence, slopes, strict=True):
        (item,) = frame.PixelValueTransformationSequence
        item.RescaleSlope, item.RescaleType = slope, "US"
    return dataset


def enhanced_ct(
    positions_mm: SequenceOf[float], *, values: np.ndarray, intercepts: SequenceOf[float] | None = None, **changes: Any
) -> Dataset:
    """An enhanced multi-frame CT of (frames, rows, columns) ``values``; every frame may have its own intercept."""
    intercepts = [-1024.0] * len(positions_mm) if intercepts is None else intercepts
    shared = _dataset(
        {
            "PlaneOrientationSequence": _item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
            "PixelMeasuresSequence": _item(PixelSpacing=[0.7, 0.8], SliceThickness=2.5),
        }
    )
    own = [
        _dataset(
            {
                "PlanePositionSequence": _item(ImagePositionPatient=[-100.0, -100.0, position]),
                "PixelValueTransformationSequence": _item(RescaleSlope=1, RescaleIntercept=intercept, RescaleType="HU"),
            }
        )
        for position, intercept in zip(positions_mm, intercepts, strict=True)
    ]
    elements = {
        "SOPClassUID": EnhancedCTImageStorage,
        "SOPInstanceUID": uid("enhanced", tuple(positions_mm)),
        "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        "NumberOfFrames": len(positions_mm),
        "SharedFunctionalGroupsSequence": Sequence([shared]),
        "PerFrameFunctionalGroupsSequence": Sequence(own),
    }
    return _dataset(_identity("enhanced") | elements | _pixels(values) | changes)


def ramp(shape: tuple[int, int] = _SHAPE, *, start: int = 1000, dtype: Any = np.uint16) -> np.ndarray:
    """Values that differ from pixel to pixel."""
    return (np.arange(np.prod(shape)).reshape(shape) + start).astype(dtype)


def write(dataset: Dataset, path: Path, *, transfer_syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a data set as a file, compressing nothing; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if "file_meta" not in dataset.__dict__:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = transfer_syntax
    dataset.preamble = bytes(128)
    dataset.save_as(path)
    return path


def write_series(
    folder: Path, *, slices: int = 4, spacing_mm: float = 2.5, series: str = "a", **changes: Any
) -> list[Path]:
    """A series of single-slice files, named so that the order of names is not that of positions."""
    files = []
    for number in range(slices):
        dataset = ct_slice(number * spacing_mm, series=series, values=ramp(start=1000 + 100 * number), **changes)
        files.append(write(dataset, folder / f"{hashlib.md5(str(number).encode()).hexdigest()[:8]}.dcm"))
    return files


def _identity(series: str) -> dict[str, Any]:
    return {
        "SeriesInstanceUID": uid("series", series),
        "StudyInstanceUID": uid("study", series),
        "PatientID": f"patient {series}",
        "PatientName": "Doe^Jane",
        "Modality": "CT",
        "ConvolutionKernel": "B30f",
        "BodyPartExamined": "CHEST",
    }


def _pixels(values: np.ndarray) -> dict[str, Any]:
    bits = 8 * values.itemsize
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": values.shape[-2],
        "Columns": values.shape[-1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "PixelData": values.tobytes(),
    }


def _item(**elements: Any) -> Sequence:
    return Sequence([_dataset(elements)])


def _dataset(elements: dict[str, Any]) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OB" if dataset.get("BitsAllocated") == 8 else "OW"
    return dataset
