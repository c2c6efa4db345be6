"""Writes a phantom series as DICOM files that any CT viewer opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from monai_ext.data.phantoms import PhantomSeries

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["write_dicom_series"]

_RESCALE_INTERCEPT = -1024
_SLICE_THICKNESS_MM = 2.0


def write_dicom_series(series: PhantomSeries, folder: str | Path, *, number: int, series_number: int = 1) -> None:
    """Write one CT Image Storage file a slice (explicit VR little endian, 12 bits, rescale intercept -1024).

    The files carry no date, name or device; identifiers are derived from ``number`` alone, so the same series is the
    same bytes.

    Args:
        series: what to write.
        folder: created when missing; files are named ``slice_001.dcm`` and so on, from the feet upwards.
        number: of the phantom patient, from 1.
        series_number: of the series, from 1, where a patient has several.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(len(series.hounsfield)):
        _slice(series, index, number, series_number).save_as(
            folder / f"slice_{index + 1:03d}.dcm", enforce_file_format=True
        )


def _uid(*names: object) -> str:
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=["monai_ext phantom", *map(str, names)])


def _slice(series: PhantomSeries, index: int, number: int, series_number: int) -> Dataset:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    further = () if series_number == 1 else (series_number,)
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = _uid(number, series.region, index, *further)
    image.StudyInstanceUID = _uid(number, "study")
    image.SeriesInstanceUID = _uid(number, "series", *further)
    image.FrameOfReferenceUID = _uid(number, "frame of reference")
    _describe_study(image, series, number)
    image.SeriesNumber = series_number
    _describe_geometry(image, series, index)
    _set_pixels(image, series.hounsfield[index])
    return image


def _describe_study(image: Dataset, series: PhantomSeries, number: int) -> None:
    image.PatientID = f"phantom-{number:02d}"
    image.PatientName = ""
    image.PatientBirthDate = ""
    image.PatientSex = ""
    image.PatientPosition = "HFS"
    image.PatientIdentityRemoved = "YES"
    image.DeidentificationMethod = "Made by formula, not a patient"
    image.StudyID = ""
    image.StudyDate = ""
    image.StudyTime = ""
    image.AccessionNumber = ""
    image.ReferringPhysicianName = ""
    image.Manufacturer = "monai_ext phantom"
    image.Modality = "CT"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.AcquisitionNumber = 1
    image.BodyPartExamined = {"thorax": "CHEST", "abdomen": "ABDOMEN", "head": "HEAD", "pelvis": "PELVIS"}[
        series.region
    ]
    image.ConvolutionKernel = series.kernel
    image.KVP = 120


def _describe_geometry(image: Dataset, series: PhantomSeries, index: int) -> None:
    """Axial slices of a supine patient; the position is that of the middle of the first pixel."""
    rows, columns = series.hounsfield[index].shape
    spacing, z = series.pixel_spacing_mm, series.slice_positions_mm[index]
    x = series.center_mm[0] - (columns - 1) / 2 * spacing
    y = series.center_mm[1] - (rows - 1) / 2 * spacing
    image.InstanceNumber = index + 1
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.ImagePositionPatient = [round(value, 4) for value in (x, y, z)]
    image.SliceLocation = round(z, 4)
    image.PixelSpacing = [round(spacing, 6)] * 2
    image.SliceThickness = _SLICE_THICKNESS_MM
    image.SpacingBetweenSlices = round(series.slice_spacing_mm, 4)
    image.PositionReferenceIndicator = ""


def _set_pixels(image: Dataset, hounsfield: np.ndarray) -> None:
    stored = (hounsfield.astype(np.int32) - _RESCALE_INTERCEPT).astype("<u2")
    image.Rows, image.Columns = stored.shape
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = _RESCALE_INTERCEPT, 1, "HU"
    image.WindowCenter, image.WindowWidth = 40, 400
    image.PixelData = stored.tobytes()
