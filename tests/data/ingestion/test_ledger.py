"""The ledger settles what a crash left, and refuses settings that do not go together."""

from __future__ import annotations

import functools
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.ingestion.ledger import Ledger, LedgerEntry
from monai_ext.data.ingestion.outcomes import STORED, Outcome, outcome_of
from monai_ext.errors import SliceStoreError


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def enter(ledger: Ledger, series: str, *, fails: bool = False) -> None:
    try:
        with ledger.adding([LedgerEntry(series, [b"unit"], {series.encode(): b"file"}, 3, ["gap"])]):
            if fails:
                raise RuntimeError
    except RuntimeError:
        pass


def test_a_series_is_known_once_it_is_confirmed(ledger: Ledger) -> None:
    enter(ledger, "a")
    assert ledger.totals() == (1, 3, {"gap": 1})
    assert ledger.instances(b"unit") == {b"a": b"file"}
    assert ledger.instances(b"other") == {}


@pytest.mark.parametrize("is_in_store", [True, False])
def test_what_was_left_open_is_settled_by_asking_the_store(ledger: Ledger, is_in_store: bool) -> None:
    enter(ledger, "a", fails=True)
    assert ledger.totals()[0] == 0
    assert ledger.recover(lambda series: is_in_store) == int(is_in_store)
    assert ledger.totals()[:2] == ((1, 3) if is_in_store else (0, 0))
    assert bool(ledger.instances(b"unit")) == is_in_store


def test_outcomes_are_remembered_with_their_detail(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as first:
        first.record([(b"1", Outcome(STORED)), (b"2", Outcome("damaged", "RescaleSlope"))])
    with Ledger(tmp_path / "ledger.sqlite") as again:
        assert again.outcome(b"1") == STORED
        found = again.outcome(b"2")
        assert found is not None
        assert (found, found.detail) == ("damaged", "RescaleSlope")
        assert again.outcome(b"3") is None


def test_outcomes_that_may_change_are_forgotten(ledger: Ledger) -> None:
    codes = [STORED, "unreadable", "crash", "filtered", "damaged"]

    def known(**options: object) -> list[str]:
        ledger.record([(code.encode(), Outcome(code)) for code in codes])
        ledger.forget_outcomes(**{"filter_fingerprint": "x", "retry_failed": False} | options)  # type: ignore[arg-type]
        return [code for code in codes if ledger.outcome(code.encode())]

    known()
    assert known() == [STORED, "crash", "filtered", "damaged"]
    assert known(retry_failed=True) == [STORED, "filtered", "damaged"]
    assert known(filter_fingerprint="y") == [STORED, "crash", "damaged"]


def test_settings_stay(ledger: Ledger) -> None:
    ledger.settle({"key": "k", "in_plane": None})
    ledger.settle({"key": "k"})
    with pytest.raises(SliceStoreError, match="in_plane = null, and now it is 256"):
        ledger.settle({"in_plane": 256})
    with pytest.raises(SliceStoreError, match="another key"):
        ledger.settle({"key": "other"})


def test_a_damaged_ledger_is_explained(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 200)
    with pytest.raises(SliceStoreError, match="cannot be used: file is not a database"):
        Ledger(tmp_path / "ledger.sqlite")


def test_a_ledger_is_used_by_one_process(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.record([(b"1", Outcome(STORED))])
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, timeout=0.01))
    with pytest.raises(SliceStoreError, match="database is locked"):
        Ledger(tmp_path / "ledger.sqlite")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refusal(SkipReason.LOCALIZER), "localizer"),
        (MemoryError(), "out_of_memory"),
        (PermissionError(13, "Permission denied"), "unreadable"),
        (ValueError("could not convert 'Smith'"), "damaged"),
    ],
)
def test_errors_become_codes_without_their_text(error: Exception, code: str) -> None:
    outcome = outcome_of(error)
    assert outcome == code
    assert "Smith" not in outcome.detail


def test_a_ledger_is_for_its_owner_only_and_one_of_an_older_version_becomes_so(tmp_path: Path) -> None:
    folder = tmp_path / "store.ingest"
    folder.mkdir(mode=0o755)
    (folder / "ledger.sqlite").touch(mode=0o644)
    (folder / "report.json").touch(mode=0o644)
    with Ledger(folder / "ledger.sqlite") as opened:
        opened.record([(b"1", Outcome(STORED))])
        assert {stat.S_IMODE(part.stat().st_mode) for part in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_ledger_of_an_older_version_did_not_deface(ledger: Ledger) -> None:
    ledger.settle({"key": "k", "in_plane": None})
    with pytest.raises(SliceStoreError, match="deface = false, and now it is true"):
        ledger.settle({"key": "k", "deface": True})
    ledger.settle({"key": "k", "deface": False})


def test_series_that_are_entered_together_are_confirmed_together(ledger: Ledger) -> None:
    entries = [LedgerEntry(name, [b"unit"], {name.encode(): b"file"}, 2, []) for name in ("a", "b")]
    with ledger.adding(entries, outcomes=[(b"other", Outcome("damaged"))]):
        assert ledger.totals()[0] == 0
    assert ledger.outcome(b"other") == "damaged"
    assert ledger.totals()[:2] == (2, 4)
