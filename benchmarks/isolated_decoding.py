"""What it costs to decode compressed DICOM in a process of its own: reads of whole slices, here and apart, in turns.

Run ``python benchmarks/isolated_decoding.py [--source FOLDER_OF_DICOM] [--rounds 15]``. Without a source one slice of
512 x 512 pixels of the phantom is used; noise decides how long decoding takes, so a real one is the better measure. The
ratio is of the fastest of the rounds of one run, those that other programs disturbed least. Slices without compression,
and RLE, which is decoded in Python, never leave this process; their ratios show the noise of the measurement.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from monai_ext.data.dicom import SliceReader, find_series
from monai_ext.data.dicom.series import DicomSlice
from monai_ext.data.phantoms import PhantomSeries
from monai_ext.data.phantoms.dicom import write_dicom_series

SYNTAXES = {
    "not compressed": ExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG Lossless (.70)": JPEGLosslessSV1,
    "JPEG-LS (.80)": JPEGLSLossless,
    "JPEG 2000 (.90)": JPEG2000Lossless,
}


def main() -> None:
    """Measure and print one line a compression."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="folder with uncompressed CT; its first slice is taken")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        original = first_slice(options.source, Path(folder) / "phantom")
        print(f"{'':22s} {'here':>9s} {'apart':>9s} {'ratio':>7s}")
        for name, syntax in SYNTAXES.items():
            file = Path(folder) / syntax / "slice.dcm"
            file.parent.mkdir()
            write(original, file, syntax)
            (series,) = find_series(file.parent).series
            here, apart = fastest_ms(series.slices[0], rounds=options.rounds)
            print(f"{name:22s} {here:6.2f} ms {apart:6.2f} ms {apart / here:7.2f}")
        print(f"{'start of the process':22s} {'':9s} {first_call_ms(series.slices[0]):6.0f} ms")


def first_slice(source: str | None, folder: Path) -> Dataset:
    """A CT slice without compression."""
    if source is None:
        noise = np.random.default_rng(0).normal(0, 15, (1, 512, 512))
        row, column = np.mgrid[-1:1:512j, -1:1:512j]
        volume = (np.where(row**2 / 0.45 + column**2 / 0.7 < 1, 40.0, -1000.0) + noise).astype(np.int16)
        write_dicom_series(PhantomSeries(volume, "head", "SOFT", 1.0, (0.0,), 5.0, (0.0, 0.0)), folder, number=1)
        source = str(folder)
    return dcmread(find_series(source).series[0].slices[0].path)


def write(original: Dataset, file: Path, syntax: str) -> None:
    """Write the slice in a compression."""
    original.save_as(file, enforce_file_format=True)
    if syntax == JPEGLosslessSV1:
        write_lossless_jpeg(file)
    elif syntax != ExplicitVRLittleEndian:
        dataset = dcmread(file)
        dataset.compress(syntax)
        dataset.save_as(file)


def write_lossless_jpeg(file: Path) -> None:
    """Compress a file in place; pydicom has no encoder for it, gdcm has."""
    import gdcm

    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(file))
    reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    change.Change()
    writer.SetFileName(str(file))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.Write()
    dataset = dcmread(file)
    dataset.RescaleType = "HU"  # gdcm writes "US"
    dataset.save_as(file)


def fastest_ms(dicom_slice: DicomSlice, *, rounds: int) -> tuple[float, float]:
    """Milliseconds to read a slice here and apart, each after a first read that counts for nothing."""
    readers = [SliceReader(is_isolated=False), SliceReader()]
    for reader in readers:
        reader.hounsfield(dicom_slice)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for kept, is_isolated in zip(times, (False, True), strict=True):
            kept.append(
                milliseconds(lambda isolated=is_isolated: SliceReader(is_isolated=isolated).hounsfield(dicom_slice))
            )
    return min(times[0]), min(times[1])


def first_call_ms(dicom_slice: DicomSlice) -> float:
    """Milliseconds of the first read apart, with the start of the process and its imports."""
    from monai_ext.decoders import shared_process

    shared_process().close()
    return milliseconds(lambda: SliceReader().hounsfield(dicom_slice))


def milliseconds(work: Callable[[], object]) -> float:
    """Time of one call."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
