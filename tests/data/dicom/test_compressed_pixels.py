"""Every lossless compression gives the values that were compressed; its size is checked before decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    JPEG2000,
    MPEG2MPML,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from helpers.compressed_streams import PICTURE, STREAMS, write_compressed
from helpers.dicom_files import ct_slice, enhanced_ct, ramp, write
from monai_ext.data.dicom import find_series, read_hounsfield
from monai_ext.data.dicom.codestream import codestream_shape
from monai_ext.errors import DicomSeriesError

SHAPE = (48, 40)
LOSSLESS = {"RLE": RLELossless, "JPEG": JPEGLosslessSV1, "JPEG-LS": JPEGLSLossless, "JPEG 2000": JPEG2000Lossless}


def picture(*, signed: bool) -> np.ndarray:
    """Smooth values with noise, as encoders expect them, between -1000 and 1500 or 24 and 2524."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    values = 1200 * np.sin(rows / 9) * np.cos(columns / 7) + np.random.default_rng(0).integers(0, 200, SHAPE)
    return values.astype(np.int16) if signed else (values + 1224).astype(np.uint16)


def compress(dataset: Dataset, path: Path, syntax: str) -> Path:
    """Write a data set compressed, with whatever encoder there is for the syntax."""
    write(dataset, path)
    if syntax != JPEGLosslessSV1:
        dataset = dcmread(path)
        dataset.compress(syntax)
        dataset.save_as(path)
        return path
    import gdcm

    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return path


def read(folder: Path) -> list[np.ndarray]:
    index = find_series(folder)
    assert not index.skipped
    return [read_hounsfield(image) for image in index.series[0].slices]


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("bits", [12, 16])
def test_lossless_compression_gives_the_same_values(tmp_path: Path, name: str, signed: bool, bits: int) -> None:
    values = picture(signed=signed)
    intercept = 0 if signed else -1224
    dataset = ct_slice(values=values, RescaleIntercept=intercept, BitsStored=bits, HighBit=bits - 1)
    compress(dataset, tmp_path / "x.dcm", LOSSLESS[name])
    np.testing.assert_array_equal(read(tmp_path)[0], values.astype(np.float32) + intercept)


@pytest.mark.parametrize("syntax", [JPEGLSNearLossless, JPEG2000])
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_compression_with_loss_gives_nearly_the_same_values_and_is_told(
    tmp_path: Path, syntax: str, signed: bool
) -> None:
    values = picture(signed=signed)
    dataset = write(ct_slice(values=values, RescaleIntercept=0, BitsStored=16), tmp_path / "x.dcm")
    dataset = dcmread(dataset)
    dataset.compress(syntax, **({"jls_error": 4} if syntax == JPEGLSNearLossless else {"j2k_psnr": [80]}))
    dataset.save_as(tmp_path / "x.dcm")
    assert np.abs(read(tmp_path)[0] - values).max() <= 32
    assert [finding.kind for finding in find_series(tmp_path).series[0].findings] == ["lossy_compression"]


@pytest.mark.parametrize("syntax", STREAMS)
def test_rare_compressions_are_read_in_hounsfield_units(tmp_path: Path, syntax: str) -> None:
    write_compressed(tmp_path / "x.dcm", syntax, STREAMS[syntax])
    np.testing.assert_allclose(read(tmp_path)[0], PICTURE.astype(np.float32) - 1024, atol=1)


def test_frames_of_a_compressed_enhanced_object_keep_their_places(tmp_path: Path) -> None:
    values = np.stack([picture(signed=False) + shift for shift in (0, 50, 90)]).astype(np.uint16)
    dataset = enhanced_ct([2.0, 0.0, 1.0], values=values, SOPInstanceUID="1.2.3", intercepts=[0, 0, 0])
    compress(dataset, tmp_path / "x.dcm", RLELossless)
    np.testing.assert_array_equal(read(tmp_path), values[[1, 2, 0]].astype(np.float32))


@pytest.mark.parametrize("name", ["JPEG", "JPEG-LS", "JPEG 2000"])
def test_the_size_in_the_compressed_stream_is_found(tmp_path: Path, name: str) -> None:
    path = compress(ct_slice(values=picture(signed=False)), tmp_path / "x.dcm", LOSSLESS[name])
    (frame,) = generate_frames(dcmread(path).PixelData, number_of_frames=1)
    assert codestream_shape(frame) == SHAPE


def test_a_stream_of_another_kind_has_no_size() -> None:
    assert codestream_shape(b"\x01\x00\x00\x00") is None
    assert codestream_shape(b"\xff\xd8\xff\xc4\x00\x02") is None
    assert codestream_shape(b"") is None


def test_a_compressed_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = compress(ct_slice(values=picture(signed=False)), tmp_path / "x.dcm", JPEG2000Lossless)
    dataset = dcmread(path)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    bomb = bytearray(frame)
    bomb[8:16] = (2**31 - 1).to_bytes(4, "big") * 2
    dataset.PixelData = encapsulate([bytes(bomb)])
    dataset.save_as(path)
    (series,) = find_series(tmp_path).series
    with pytest.raises(DicomSeriesError, match="the compressed image is 2147483647 x 2147483647"):
        read_hounsfield(series.slices[0])


def test_a_damaged_stream_is_refused(tmp_path: Path) -> None:
    path = compress(ct_slice(values=ramp(SHAPE)), tmp_path / "x.dcm", RLELossless)
    dataset = dcmread(path)
    dataset.PixelData = encapsulate([b"\x01\x00\x00\x00" * 16 + b"\x7f"])
    dataset.save_as(path)
    (series,) = find_series(tmp_path).series
    with pytest.raises(DicomSeriesError, match="compressed pixels cannot be decoded"):
        read_hounsfield(series.slices[0])


def test_a_compression_without_decoder_says_what_to_install(tmp_path: Path) -> None:
    dataset = ct_slice(PixelData=encapsulate([b"stream"]))
    dataset["PixelData"].is_undefined_length = True
    write(dataset, tmp_path / "x.dcm", transfer_syntax=MPEG2MPML)
    (series,) = find_series(tmp_path).series
    with pytest.raises(DicomSeriesError, match=r"no decoder for its compression .*MPEG2 .*export the images again"):
        read_hounsfield(series.slices[0])
