"""Stored values become Hounsfield units; what would be wrong is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from helpers.dicom_files import ct_slice, enhanced_ct, ramp, write, write_series
from monai_ext.data.dicom import DicomSlice, SliceReader, find_series, read_hounsfield
from monai_ext.errors import DicomSeriesError


def read(dataset: Dataset, folder: Path, **options: Any) -> np.ndarray:
    """Write a data set, find it and read it."""
    return read_hounsfield(found(dataset, folder, **options))


def found(dataset: Dataset, folder: Path, **options: Any) -> DicomSlice:
    """The first slice of a data set that is written as a file."""
    write(dataset, folder / "x.dcm", **options)
    return find_series(folder).series[0].slices[0]


def stored(*values: int, dtype: Any = np.uint16) -> np.ndarray:
    return np.array([values], dtype=dtype)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    hounsfield = read(ct_slice(values=stored(0, 1000, 4095), RescaleSlope=0.5, RescaleIntercept=-1000), tmp_path)
    assert hounsfield.dtype == np.float32
    assert hounsfield.tolist() == [[-1000.0, -500.0, 1047.5]]


def test_signed_values_are_signed(tmp_path: Path) -> None:
    values = stored(-1000, 0, 1000, dtype=np.int16)
    assert read(ct_slice(values=values, RescaleIntercept=0), tmp_path).tolist() == [[-1000.0, 0.0, 1000.0]]


def test_every_slice_has_its_own_rescale(tmp_path: Path) -> None:
    for number, intercept in enumerate([-1024, -1000]):
        write(ct_slice(number, values=stored(24, 24), RescaleIntercept=intercept), tmp_path / f"{number}")
    (series,) = find_series(tmp_path).series
    assert [read_hounsfield(image)[0, 0] for image in series.slices] == [-1000.0, -976.0]


def test_every_frame_of_an_enhanced_object_has_its_own_rescale(tmp_path: Path) -> None:
    values = np.stack([np.full((2, 2), 10, np.uint16), np.full((2, 2), 20, np.uint16)])
    write(enhanced_ct([2.0, 0.0], values=values, intercepts=[-1000, -500]), tmp_path / "x")
    (series,) = find_series(tmp_path).series
    reader = SliceReader()
    assert [reader.hounsfield(image)[0, 0] for image in series.slices] == [-480.0, -990.0]


@pytest.mark.parametrize("representation", [0, 1])
def test_bits_above_the_stored_ones_are_removed_and_the_sign_extended(tmp_path: Path, representation: int) -> None:
    values = stored(0xF123, 0x1FFF, 0x0800)
    dataset = ct_slice(values=values, BitsStored=12, HighBit=11, PixelRepresentation=representation, RescaleIntercept=0)
    assert read(dataset, tmp_path).tolist() == [[291.0, -1.0, -2048.0] if representation else [291.0, 4095.0, 2048.0]]


def test_values_in_the_high_bits_are_shifted_down(tmp_path: Path) -> None:
    values = stored(100 << 4, (4000 << 4) | 7)
    dataset = ct_slice(values=values, BitsStored=12, HighBit=15, RescaleIntercept=0)
    assert read(dataset, tmp_path).tolist() == [[100.0, 4000.0]]


def test_twelve_allocated_bits_are_packed_two_values_in_three_bytes(tmp_path: Path) -> None:
    packed = bytes([0x23, 0x61, 0x45, 0x89, 0xC7, 0xAB])
    dataset = ct_slice(
        values=np.zeros((2, 2), np.uint16), BitsAllocated=12, BitsStored=12, HighBit=11, RescaleIntercept=0
    )
    dataset.PixelData = packed
    assert read(dataset, tmp_path).tolist() == [[0x123, 0x456], [0x789, 0xABC]]


def test_twelve_bit_frames_may_begin_within_a_byte(tmp_path: Path) -> None:
    packed = bytes([0x23, 0x61, 0x45, 0x89, 0xC7, 0xAB, 0x11, 0xF2, 0xFF])
    dataset = enhanced_ct(
        [0.0, 1.0],
        values=np.zeros((2, 1, 3), np.uint16),
        intercepts=[0, 0],
        BitsAllocated=12,
        BitsStored=12,
        HighBit=11,
    )
    dataset.PixelData = packed + b"\0"
    write(dataset, tmp_path / "x")
    (series,) = find_series(tmp_path).series
    assert read_hounsfield(series.slices[1]).tolist() == [[0xABC, 0x211, 0xFFF]]


def test_eight_and_thirty_two_bits_are_read(tmp_path: Path) -> None:
    assert read(ct_slice(values=stored(0, 255, dtype=np.uint8)), tmp_path / "8").tolist() == [[-1024.0, -769.0]]
    wide = ct_slice(values=stored(-70000, 5, dtype=np.int32), RescaleIntercept=0)
    assert read(wide, tmp_path / "32").tolist() == [[-70000.0, 5.0]]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_encodings_give_the_same_values(tmp_path: Path, syntax: str) -> None:
    dataset = ct_slice(PixelPaddingValue=1003)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = ramp().astype(">u2").tobytes()
    expected = ramp() - 1024.0
    expected[0, 3] = -21.0
    np.testing.assert_array_equal(read(dataset, tmp_path, transfer_syntax=syntax), expected)


def test_monochrome_1_means_another_display_not_other_values(tmp_path: Path) -> None:
    plain = read(ct_slice(), tmp_path / "2")
    np.testing.assert_array_equal(read(ct_slice(PhotometricInterpretation="MONOCHROME1"), tmp_path / "1"), plain)


def test_padding_becomes_air(tmp_path: Path) -> None:
    values = stored(-2000, -1000, 40, dtype=np.int16)
    dataset = ct_slice(values=values, RescaleIntercept=0, PixelPaddingValue=-2000)
    assert read(dataset, tmp_path).tolist() == [[-1000.0, -1000.0, 40.0]]


def test_padding_that_was_written_without_its_sign_becomes_air(tmp_path: Path) -> None:
    dataset = ct_slice(values=stored(-2000, 40, dtype=np.int16), RescaleIntercept=0)
    dataset.add_new(0x00280120, "US", 63536)
    assert read(dataset, tmp_path).tolist() == [[-1000.0, 40.0]]


def test_padding_outside_the_stored_bits_becomes_air(tmp_path: Path) -> None:
    dataset = ct_slice(values=stored(63536, 1064), BitsStored=12, HighBit=11, PixelPaddingValue=63536)
    assert read(dataset, tmp_path).tolist() == [[-1000.0, 40.0]]


def test_a_range_of_padding_becomes_air(tmp_path: Path) -> None:
    dataset = ct_slice(values=stored(0, 5, 10, 1024), PixelPaddingValue=10, PixelPaddingRangeLimit=0)
    assert read(dataset, tmp_path).tolist() == [[-1000.0, -1000.0, -1000.0, 0.0]]


def test_padding_declared_within_tissue_is_left_alone(tmp_path: Path) -> None:
    dataset = ct_slice(values=stored(0, 40, dtype=np.int16), RescaleIntercept=0, PixelPaddingValue=0)
    assert read(dataset, tmp_path).tolist() == [[0.0, 40.0]]


def test_a_modality_lookup_table_is_used(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor = [3, 100, 16]
    table.ModalityLUTType = "HU"
    table.LUTData = np.array([10, 20, 30], "<u2").tobytes()
    dataset = ct_slice(values=stored(99, 100, 101, 102, 200), RescaleSlope=None, RescaleIntercept=None)
    dataset.ModalityLUTSequence = Sequence([table])
    assert read(dataset, tmp_path).tolist() == [[10.0, 10.0, 20.0, 30.0, 30.0]]


def test_a_missing_rescale_type_means_hounsfield(tmp_path: Path) -> None:
    assert read(ct_slice(values=stored(1024, 1064), RescaleType=None), tmp_path).tolist() == [[0.0, 40.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RescaleSlope": None}, r"RescaleSlope \(0028,1053\) is missing"),
        ({"RescaleIntercept": None}, r"RescaleIntercept \(0028,1052\) is missing"),
        ({"RescaleSlope": 0}, r"RescaleSlope \(0028,1053\) is 0"),
        ({"RescaleType": "US"}, r"another unit than Hounsfield \(RescaleType \(0028,1054\) is not HU\)"),
        ({"RescaleType": "Z_EFF"}, "another unit than Hounsfield"),
        ({"BitsAllocated": 64}, r"BitsAllocated \(0028,0100\) is 64"),
        ({"BitsAllocated": None}, r"BitsAllocated \(0028,0100\) is None"),
        ({"BitsStored": 17}, r"BitsStored \(0028,0101\) 17"),
        ({"HighBit": 3}, r"HighBit \(0028,0102\) 3 do not fit"),
        ({"PixelRepresentation": 7}, "neither 0 nor 1"),
        ({"Rows": 9}, r"PixelData \(7fe0,0010\) has 96 bytes, 108 are declared"),
    ],
)
def test_what_cannot_become_hounsfield_units_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    image = found(ct_slice(**change), tmp_path)
    with pytest.raises(DicomSeriesError, match=message) as raised:
        read_hounsfield(image)
    assert "x.dcm" in str(raised.value)


def test_a_number_that_is_none_is_refused_without_repeating_it(tmp_path: Path) -> None:
    dataset = ct_slice()
    write(dataset, tmp_path / "x.dcm")
    content = (tmp_path / "x.dcm").read_bytes()
    (tmp_path / "x.dcm").write_bytes(content.replace(b"-1024.0 ", b"SECRETIV"))
    (series,) = find_series(tmp_path).series
    with pytest.raises(DicomSeriesError, match=r"RescaleIntercept \(0028,1052\) is not a number") as raised:
        read_hounsfield(series.slices[0])
    assert "SECRET" not in str(raised.value)


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    image = found(ct_slice(), tmp_path)
    image.path.unlink()
    with pytest.raises(DicomSeriesError, match=r"x\.dcm cannot be read: No such file"):
        read_hounsfield(image)


def test_another_rescale_type_can_be_accepted(tmp_path: Path) -> None:
    image = found(ct_slice(values=stored(1024, 1064), RescaleType="US"), tmp_path)
    assert SliceReader(rescale_types=("HU", "US")).hounsfield(image).tolist() == [[0.0, 40.0]]


def test_real_slices_have_plausible_values(shared_data: Path) -> None:
    index = find_series(shared_data / "dicom_ct" / "ge_head_tilt_variable_spacing")
    head = read_hounsfield(index.series[0].slices[14])
    assert -1030 < np.median(head[:20]) < -970
    assert 15 < np.median(head[200:300, 200:300]) < 50
    assert 1000 < np.percentile(head, 99.5) < 2500


def test_series_of_sixteen_bits_signed_and_twelve_bits_unsigned_agree(tmp_path: Path) -> None:
    write_series(tmp_path / "u", series="u", BitsStored=12, HighBit=11)
    for number in range(4):
        values = ramp(start=1000 + 100 * number).astype(np.int16) - 1024
        write(ct_slice(2.5 * number, values=values.astype(np.int16), RescaleIntercept=0), tmp_path / "s" / f"{number}")
    unsigned, signed = (find_series(tmp_path / name).series[0].slices for name in ("u", "s"))
    for first, second in zip(unsigned, signed, strict=True):
        np.testing.assert_array_equal(read_hounsfield(first), read_hounsfield(second))
