"""``python -m monai_ext store``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from monai_ext.cli.store import main
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter
from monai_ext.errors import SliceStoreError


@pytest.fixture
def store(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(-1000, 1000, (2, 32, 32)).astype(np.int16)
    with SliceStoreWriter.open(tmp_path / "store", source_kind="ct") as writer:
        writer.add_series("series-a1", pixels, [{"patient_id": "patient-01"}] * 2, {})
    return tmp_path / "store"


def damage(store: Path) -> None:
    file = store / "series" / "se" / "series-a1.b2nd"
    content = bytearray(file.read_bytes())
    content[int(SliceStore(store)._chunks[0][1]) + 20] ^= 1
    file.write_bytes(content)


def test_info_says_what_is_in_a_store(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(store), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert (info["slices"], info["series"], info["patients"], info["source_kind"]) == (2, 1, 1, "ct")
    assert info["content_hash"] == SliceStore(store).content_hash
    assert main(["info", str(store)]) == 0
    assert "int16 Hounsfield units" in capsys.readouterr().out


def test_info_works_on_an_empty_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SliceStoreWriter.open(tmp_path / "empty", source_kind="picture").close()
    assert main(["info", str(tmp_path / "empty"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["slices"] == 0


def test_verify_ends_with_1_on_damage_and_with_0_once_it_is_set_aside(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(store)]) == 0
    damage(store)
    assert main(["verify", str(store)]) == 1
    printed = capsys.readouterr().out
    assert "Slice 1 of series series-a1" in printed
    assert "1 of 2 slices are damaged, in 1 series." in printed
    assert main(["verify", str(store), "--set-aside"]) == 0
    assert "and set aside" in capsys.readouterr().out
    assert len(SliceStore(store)) == 1


def test_thumbnails_are_drawn_where_asked(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["thumbnails", str(store), "--output", str(tmp_path / "sheets"), "--window=-600,1500"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "sheets" / "sheet-0001.png")
    assert (tmp_path / "sheets" / "sheet-0001.png").is_file()


def test_the_privacy_report_is_text_or_json(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["privacy-report", str(store)]) == 0
    assert "Kept with every slice, and why:" in capsys.readouterr().out
    assert main(["privacy-report", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["patients"] == 1


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SliceStoreError, match="is no slice store"):
        main(["info", str(tmp_path)])
