"""MR becomes slices on a scale of its series' percentiles, marked so; what is of another modality or scale does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from helpers.dicom_files import ct_slice, enhanced_mr, mr_slice, ramp, write
from helpers.volume_files import change_header, write_itk
from monai_ext.data.ingestion.ingest import IngestFilter, IngestOptions, IngestReport, ingest, list_skipped
from monai_ext.data.store.reader import SliceStore
from monai_ext.errors import DatasetError, SliceStoreError

GENERATOR = np.random.default_rng(0)
SIGNAL = np.where(GENERATOR.random((3, 40, 40)) < 0.4, 0, GENERATOR.gamma(4, 150, (3, 40, 40))).round()
"""A head as a histogram sees it: 40 % background, and a long tail of bright pixels."""


def run(source: Path, **arguments: Any) -> tuple[IngestReport, SliceStore]:
    report = ingest(source, source.parent / "store", **{"source_kind": "mr", "workers": 1} | arguments)
    return report, SliceStore(source.parent / "store")


def write_mr(folder: Path, stored: np.ndarray, changes: list[dict[str, Any]] | None = None, **shared: Any) -> None:
    for number, values in enumerate(stored):
        own = (changes or [{}] * len(stored))[number]
        write(mr_slice(2.5 * number, values=values.astype(np.uint16), **shared | own), folder / f"{number}.dcm")


def expected(signal: np.ndarray) -> np.ndarray:
    """By numpy: the 0.5th and the 99.5th percentile of what is above the lowest value become 0 and 10,000."""
    above = signal[signal > signal.min()]
    low, high = np.percentile(above, (0.5, 99.5), method="inverted_cdf")
    return np.rint((signal - low) / (high - low) * 10_000).clip(-(2**15), 2**15 - 1)


def test_percentiles_of_the_whole_series_become_fixed_numbers(tmp_path: Path) -> None:
    write_mr(tmp_path / "source", SIGNAL)
    report, store = run(tmp_path / "source")
    assert (store.source_kind, report.findings) == ("mr", {"no_rescale": 1})
    np.testing.assert_allclose([store.read(number) for number in range(3)], expected(SIGNAL), atol=1)
    (made,) = store.provenance
    assert (made["scaling"], made["full_scale"], made["signal_from"]) == ("percentiles", 10_000, "stored")
    assert "whose stored values were taken as they are" in report.to_table()


@pytest.mark.parametrize("origin", ["rescaled", "philips"])
def test_slices_with_slopes_of_their_own_are_brought_to_one_scale(tmp_path: Path, origin: str) -> None:
    """As Philips writes them: each slice fills its 12 bits, so that stored values are not comparable."""
    slopes = [0.5, 1.0, 2.0]
    changes: list[dict[str, Any]] = [{"RescaleSlope": slope, "RescaleIntercept": 0} for slope in slopes]
    stored = np.stack([(plane / slope).round() for plane, slope in zip(SIGNAL, slopes, strict=True)])
    if origin == "philips":  # displayed values are then of each slice's own scale; only Scale Slope makes them one
        changes = [{"RescaleSlope": 3.0, "RescaleIntercept": 0, "philips": 1 / slope} for slope in slopes]
    write_mr(tmp_path / "source", stored, changes)
    report, store = run(tmp_path / "source")
    assert (store.provenance[0]["signal_from"], dict(report.findings)) == (origin, {})
    signal = np.stack([plane * slope for plane, slope in zip(stored, slopes, strict=True)])
    np.testing.assert_allclose([store.read(number) for number in range(3)], expected(signal), atol=1)


def test_a_slice_without_the_slope_that_the_others_have_is_refused(tmp_path: Path) -> None:
    scaled = {"RescaleSlope": 2, "RescaleIntercept": 0}
    write_mr(tmp_path / "source", SIGNAL, [scaled, {}, scaled])
    report, store = run(tmp_path / "source")
    assert (len(store), dict(report.skipped)) == (2, {"no_rescale": 1})
    ((name, reason, detail),) = list_skipped(tmp_path / "source", tmp_path / "store")
    assert (name, reason.value, detail) == (
        "1.dcm",
        "no_rescale",
        "RescaleSlope (0028,1053) is missing, and other slices have it",
    )


def test_frames_of_enhanced_mr_have_slopes_of_their_own_too(tmp_path: Path) -> None:
    stored = np.stack([SIGNAL[0], (SIGNAL[1] / 2).round()]).astype(np.uint16)
    write(enhanced_mr([0.0, 2.5], values=stored, slopes=[1.0, 2.0]), tmp_path / "source" / "x")
    _, store = run(tmp_path / "source")
    signal = stored * np.array([1.0, 2.0])[:, None, None]
    np.testing.assert_allclose([store.read(0), store.read(1)], expected(signal), atol=1)


def test_bits_signs_and_monochrome1_make_no_difference(tmp_path: Path) -> None:
    """Signed values, 12 bits with an overlay above them, and values that are shown turned: the same picture."""
    write_mr(tmp_path / "source" / "plain", SIGNAL, series="plain")
    with_overlay = [plane.astype(np.uint16) | 0x8000 for plane in SIGNAL]
    write_mr(tmp_path / "source" / "overlay", np.stack(with_overlay), series="overlay")
    turned = 4095 - SIGNAL
    write_mr(tmp_path / "source" / "turned", turned, series="turned", PhotometricInterpretation="MONOCHROME1")
    for number, plane in enumerate(SIGNAL):
        signed = mr_slice(2.5 * number, values=(plane - 700).astype(np.int16), series="signed")
        write(signed, tmp_path / "source" / f"signed-{number}")
    _, store = run(tmp_path / "source")
    pixels = np.stack([store.read(number) for number in range(12)]).reshape(4, 3, 40, 40)
    for series in pixels:
        np.testing.assert_allclose(series, expected(SIGNAL), atol=1)
    assert sum(made["turned_monochrome1"] for made in store.provenance) == 1


def test_padding_is_no_signal_and_becomes_black(tmp_path: Path) -> None:
    stored = SIGNAL.copy()
    stored[:, :10] = 4000
    write_mr(tmp_path / "source", stored, PixelPaddingValue=4000)
    _, store = run(tmp_path / "source")
    assert (store.read(0)[:10] == 0).all()
    np.testing.assert_allclose(store.read(1)[10:], expected(SIGNAL[:, 10:])[1], atol=1)


def test_what_comes_later_of_a_series_is_on_its_scale(tmp_path: Path) -> None:
    """Also when it is brighter than all that was there: otherwise one series would have two scales."""
    write_mr(tmp_path / "source", SIGNAL[:2])
    run(tmp_path / "source")
    write(mr_slice(9.0, values=(5 * SIGNAL[0]).astype(np.uint16), BitsStored=16, HighBit=15), tmp_path / "source" / "z")
    report, store = run(tmp_path / "source")
    assert (report.new_slices, len({made["signal_at_full_scale"] for made in store.provenance})) == (1, 1)
    brightest = max(int(store.read(number).max()) for number in range(3))
    assert brightest > 20_000


def test_a_series_that_is_cut_into_parts_has_one_scale(tmp_path: Path) -> None:
    large = GENERATOR.gamma(4, 150, (4, 600, 600)).round()
    write_mr(tmp_path / "source", large)
    _, store = run(tmp_path / "source", options=IngestOptions(largest_part_bytes=2**20))
    assert len(store.series_ids) == 4
    assert len({made["signal_at_full_scale"] for made in store.provenance}) == 1


def test_a_series_without_contrast_is_refused(tmp_path: Path) -> None:
    write_mr(tmp_path / "source" / "a", SIGNAL, series="a")
    write_mr(tmp_path / "source" / "b", np.full((2, 8, 8), 7), series="b")
    report, _ = run(tmp_path / "source")
    assert dict(report.skipped) == {"no_contrast": 2}


def test_each_modality_is_taken_only_where_it_is_asked_for(tmp_path: Path) -> None:
    write_mr(tmp_path / "source" / "mr", SIGNAL)
    write(ct_slice(values=ramp()), tmp_path / "source" / "ct")
    report, store = run(tmp_path / "source", source_kind=None)
    assert (store.source_kind, dict(report.skipped)) == ("ct", {"other_modality": 3})
    with pytest.raises(SliceStoreError, match="holds slices of kind 'ct', and 'mr'"):
        run(tmp_path / "source")
    wanted = IngestOptions(wanted=IngestFilter.from_dict({"modality": "MR"}))
    report = ingest(tmp_path / "source", tmp_path / "mr_store", options=wanted, workers=1)
    assert (report.source_kind, dict(report.skipped)) == ("mr", {"other_modality": 1})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"ImageType": ["DERIVED", "SECONDARY", "PROJECTION IMAGE"]}, "projection"),
        ({"BurnedInAnnotation": "YES"}, "burned_in_annotation"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary_capture"),
        ({"RescaleSlope": 0}, "no_rescale"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "not_grayscale"),
    ],
)
def test_what_is_no_slice_is_refused_as_of_ct(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    write_mr(tmp_path / "source" / "good", SIGNAL)
    write(mr_slice(series="other", **change), tmp_path / "source" / "x")
    report, _ = run(tmp_path / "source")
    assert dict(report.skipped) == {reason: 1}


def test_volumes_of_mr_are_scaled_and_label_maps_are_left_out(tmp_path: Path) -> None:
    source, values = tmp_path / "source", SIGNAL.astype(np.int16)
    write_itk(source / "a.nii.gz", values)
    change_header(write_itk(source / "b.mha", values), "NDims", "Modality = MET_MOD_MR\nNDims")
    change_header(write_itk(source / "ct.mha", values), "NDims", "Modality = MET_MOD_CT\nNDims")
    write_itk(source / "mask.nii.gz", (values > 300).astype(np.uint8))
    report, store = run(source)
    assert (len(store), dict(report.skipped)) == (6, {"label_map": 1, "other_modality": 1})
    assert set(store.index["modality"]) == {"MR"}
    for first in (0, 3):
        found = np.stack([store.read(first + number) for number in range(3)])
        np.testing.assert_allclose(np.sort(found.ravel()), np.sort(expected(SIGNAL).ravel()), atol=1)


def test_volumes_of_four_dimensions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 30), np.int16), np.eye(4)), tmp_path / "source" / "fmri.nii")
    with pytest.raises(DatasetError, match="not_a_volume: it has not three dimensions"):
        run(tmp_path / "source")
