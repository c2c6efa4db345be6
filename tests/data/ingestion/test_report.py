"""The report adds up, or says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_ext.data.dicom.refusals import SkipReason
from monai_ext.data.ingestion.outcomes import STORED, Outcome
from monai_ext.data.ingestion.report import IngestReport
from monai_ext.errors import SliceStoreError


@pytest.fixture
def report() -> IngestReport:
    made = IngestReport("ct", files=5, series=2, slices=1234, new_series=1, new_slices=200, seconds=2.0)
    for outcome in (STORED, STORED, "localizer", "localizer", "crash"):
        made.count(Outcome(outcome))
    made.findings["gap"] = 1
    return made


def test_a_report_that_adds_up_is_accepted(report: IngestReport) -> None:
    report.check()
    report.files += 1
    with pytest.raises(SliceStoreError, match="6 files, 2 stored, 3 skipped"):
        report.check()


def test_the_table_says_every_reason_in_words(report: IngestReport) -> None:
    table = report.to_table()
    assert "2  localizer: it is a localizer (scout)" in table
    assert "1,234  slices in the store (200 new)" in table
    assert "1  series with missing slices" in table
    assert "100 slices a second" in table


def test_the_table_says_which_decoder_is_missing() -> None:
    report = IngestReport("ct")
    report.count(Outcome("missing_codec", "JPEG-LS (1.2.840.10008.1.2.4.80): pip install pyjpegls"))
    report.count(Outcome("crash", "JPEG-LS"))
    assert "1  JPEG-LS (1.2.840.10008.1.2.4.80): pip install pyjpegls" in report.to_table()
    assert json.loads(report.to_json())["missing_decoders"] == dict(report.missing_decoders)
    assert report.missing_decoders.total() == 1


def test_the_file_is_json(report: IngestReport, tmp_path: Path) -> None:
    report.save(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["skipped"] == {"localizer": 2, "crash": 1}
    assert content["reasons"]["crash"] == SkipReason.CRASH.sentence


def test_every_reason_has_a_sentence_of_its_own() -> None:
    sentences = [reason.sentence for reason in SkipReason]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence.split()[0] in ("it", "its", "the", "no", "reading") for sentence in sentences)
