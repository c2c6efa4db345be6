"""Computed tomography as it comes out of an archive: series found, ordered, and read in Hounsfield units."""

from monai_ext.data.dicom.intensity import SliceReader, read_hounsfield
from monai_ext.data.dicom.series import DicomSeries, DicomSlice, SeriesIndex, SkippedFile, find_series

__all__ = ["DicomSeries", "DicomSlice", "SeriesIndex", "SkippedFile", "SliceReader", "find_series", "read_hounsfield"]
