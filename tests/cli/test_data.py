"""``python -m monai_ext data``."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_ext.cli import data
from monai_ext.cli.data import main
from monai_ext.data.public.catalog import PublicDataset
from monai_ext.data.store.reader import SliceStore
from monai_ext.errors import DatasetError


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the data sets that would have been downloaded."""
    names: list[str] = []

    def get_files(dataset: PublicDataset, folder: str, **options: object) -> list[Path]:
        names.append(dataset.name)
        return [Path(folder, "labels.csv")]

    def get_collection(dataset: PublicDataset, folder: str, **options: object) -> Path:
        names.append(f"{dataset.name} {options['modality']} {options['limit']}")
        options["listed"](1)
        options["received"](10)
        options["fetched"]()
        return Path(folder)

    monkeypatch.setattr(data, "get_files", get_files)
    monkeypatch.setattr(data, "get_collection", get_collection)
    return names


def test_the_list_names_data_sets_and_licences(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "lidc" in printed
    assert "organsmnist_224" in printed
    assert "licence: CC BY 4.0" in printed


def test_the_licence_is_shown_and_nothing_happens_before_it_is_agreed_to(
    asked_for: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(DatasetError, match="add --accept-licence"):
        main(["get", "covid_ct", "folder"])
    printed = capsys.readouterr().out
    assert "licence:  none is stated" in printed
    assert "The publisher states no checksums" in printed
    assert asked_for == []


@pytest.mark.parametrize(("answer", "names"), [("yes", ["covid_ct"]), ("no", []), ("", [])])
def test_on_a_terminal_one_is_asked(
    asked_for: list[str], monkeypatch: pytest.MonkeyPatch, answer: str, names: list[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(builtins, "input", lambda prompt: answer)
    if names:
        assert main(["get", "covid_ct", "folder"]) == 0
    else:
        with pytest.raises(DatasetError, match="was not agreed to"):
            main(["get", "covid_ct", "folder"])
    assert asked_for == names


def test_a_collection_is_asked_for_with_its_filter(asked_for: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "lidc", "folder", "--accept-licence", "--limit", "5"]) == 0
    assert main(["get", "lidc", "folder", "--accept-licence", "--modality", "any"]) == 0
    assert asked_for == ["lidc CT 5", "lidc None None"]
    assert "Next: python -m monai_ext ingest folder STORE" in capsys.readouterr().out


def test_labelled_pictures_are_brought_into_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        Image.fromarray(np.full((8, 8), 9, np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "labels.csv").write_text("file,label\na.png,1\nb.png,0\n")
    assert main(["store", str(tmp_path / "labels.csv"), str(tmp_path / "store"), "--ungrouped"]) == 0
    assert "2 pictures of labels.csv are in" in capsys.readouterr().out
    assert sorted(SliceStore(tmp_path / "store").index.label) == ["0", "1"]
