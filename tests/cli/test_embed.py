"""``python -m monai_ext embed``."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from monai_ext.cli import main
from monai_ext.networks import build_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An exported ResNet-18 for images of 32 pixels."""
    path = tmp_path_factory.mktemp("run") / "encoder.pt"
    torch.manual_seed(0)
    metadata = {"monai_ext_version": "0", "method": "SparK", "image_size": 32, "window": "full"}
    torch.save({"state_dict": build_encoder("resnet18").state_dict(), "metadata": metadata}, path)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Dark and bright pictures in a folder for each class, 24 in all."""
    rng = np.random.default_rng(0)
    for number in range(24):
        name = "bright" if number % 2 else "dark"
        pixels = rng.integers(0, 100, (36, 40)) + 150 * (number % 2)
        (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "data" / name / f"DOE_{number}.png")
    return tmp_path / "data"


def _run(*arguments: object) -> int:
    return main(["embed", *map(str, arguments), "--num-workers", "0", "--device", "cpu"])


def test_class_folders_give_features_a_map_and_the_accuracy_of_neighbours(
    encoder: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert _run(Path(encoder).parent, folder, output, "--class-folders", "--html", "--map", "pca") == 0
    assert {file.name for file in output.iterdir()} == {"features.parquet", "map.csv", "map.html", "map.png"}
    table = pq.read_table(output / "features.parquet")
    assert (table.num_rows, len(table.column("features")[0])) == (24, 512)
    with (output / "map.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == table.column("label").to_pylist()
    printed = capsys.readouterr().out
    assert "k-NN accuracy" in printed
    assert "24 slices)" in printed
    assert not any(b"DOE" in file.read_bytes() for file in output.iterdir())


def test_without_labels_all_pictures_below_are_embedded(encoder: str, folder: Path, tmp_path: Path) -> None:
    assert _run(encoder, folder, tmp_path / "out", "--map", "none", "--image-size", "64") == 0
    table = pq.read_table(tmp_path / "out" / "features.parquet")
    assert (table.num_rows, table.column("label").null_count) == (24, 24)
    assert b'"image_size": 64' in table.schema.metadata[b"monai_ext"]
    assert not (tmp_path / "out" / "map.png").exists()


def test_a_map_of_earlier_features_does_not_lie_beside_newer_ones(encoder: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "map.csv").write_text("index,group,label,x,y")
    assert _run(encoder, folder, tmp_path / "out", "--map", "none", "--image-size", "64") == 0
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["features.parquet"]


def test_of_a_published_split_neighbours_are_told_of_the_training_section_only(
    encoder: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(folder.rglob("*.png"))
    rows = [
        f"{file.relative_to(folder)},{file.parent.name},{'test' if n % 12 == 0 else 'train'}"
        for n, file in enumerate(files)
    ]
    (folder / "labels.csv").write_text("\n".join(["file,label,split", *rows]))
    assert _run(encoder, folder, tmp_path / "out", "--map", "none") == 0
    assert "22 slices of the training section)" in capsys.readouterr().out
    assert pq.read_table(tmp_path / "out" / "features.parquet").num_rows == 24


def test_an_encoder_that_does_not_say_how_its_images_were_made_is_warned_of(
    encoder: str, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(torch.load(encoder, weights_only=True)["state_dict"], tmp_path / "plain.pth")
    options = ("--map", "none", "--image-size", "32")
    assert _run(tmp_path / "plain.pth", folder, tmp_path / "out", *options) == 0
    assert "does not say how its images were made: image size 32 and window full are used" in caplog.text


def test_an_encoder_of_volumes_is_refused_with_what_writes_their_features(folder: Path, tmp_path: Path, capsys) -> None:
    torch.save(build_encoder("resnet18", spatial_dims=3).state_dict(), tmp_path / "encoder.pt")
    assert _run(tmp_path / "encoder.pt", folder, tmp_path / "out") == 2
    assert "it is a 3D resnet18, for volumes. `inference.json` with `volumes_inference.json`" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("{encoder}", "no/data", "out"), "no/data does not exist"),
        (("no/encoder.pt", "{folder}", "out"), "no weights file no/encoder.pt"),
        (("{encoder}", "{folder}", "{encoder}"), "Free space, or name another folder"),
        (
            ("{encoder}", "{folder}", "out", "--section", "test"),
            "neither labels.csv nor only folders of classes|no published split",
        ),
    ],
)
def test_bad_input_ends_with_one_sentence(
    arguments: tuple[str, ...], words: str, encoder: str, folder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    assert _run(*(text.format(encoder=encoder, folder=folder) for text in arguments)) == 2
    assert re.search(words, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
