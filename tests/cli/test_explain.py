"""``python -m monai_ext explain``: of encoders; what it says of a classifier's images lies with that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from helpers.opened_encoders import write_pictures
from monai_ext.cli import main
from monai_ext.networks import build_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("run") / "encoder.pt"
    torch.manual_seed(0)
    metadata = {"monai_ext_version": "0", "method": "SparK", "image_size": 64, "window": "full", "seed": 0}
    torch.save({"state_dict": build_encoder("resnet18").state_dict(), "metadata": metadata}, path)
    return str(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data"), patients=36)


SMALL = ("--images", "24", "--folds", "3", "--frequency-images", "8", "--field-images", "8", "--device", "cpu")


def test_encoders_and_data_give_a_page_with_untrained_encoders_beside(
    encoder: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(Path(encoder).parent), str(data / "labels.csv"), "--output", str(tmp_path / "out"), *SMALL]
    assert main(["explain", *arguments]) == 0
    assert "explanation.html: 3 encoders on 24 images" in capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert [entry["name"] for entry in content["encoders"]] == ["SparK", "scratch", "start"]
    assert all(str(data) not in file.read_text() for file in (tmp_path / "out").glob("*.[chj]*"))


def test_options_may_stand_between_encoders(encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", encoder, "--folds", "3", "scratch", str(tmp_path / "no data")]) == 2
    assert "no data does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Explaining needs encoders and labelled images"),
        (("{encoder}",), "Received 1 of them: {encoder}"),
        (("scratch", "{data}"), "No encoder was given to explain"),
        (("no.pt", "runs/nothing", "{data}"), "2 of 2 encoders cannot be explained"),
        (("{encoder}", "{data}", "--folds", "2"), "--folds is at least 3; received 2"),
        (("{encoder}", "{data}", "--noise", "0"), "within (0, 1]; received 0.0"),
        (("{encoder}", "{data}", "--image-size", "48"), "Choose an image size of at least 64"),
        (("{encoder}", "{data}", "--images", "10", "--folds", "3"), "at least 24 images of 6 patients"),
    ],
)
def test_bad_input_ends_with_a_sentence_before_anything_is_computed(
    arguments: tuple[str, ...], words: str, encoder: str, data: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [text.format(encoder=encoder, data=data) for text in arguments]
    assert main(["explain", *texts]) == 2
    assert words.format(encoder=encoder) in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_cut_without_a_side_is_refused_before_anything_is_computed(encoder: str, data: Path, capsys) -> None:
    assert main(["explain", encoder, str(data), "--folds", "3", "--cut", "64"]) == 2
    captured = capsys.readouterr()
    assert "Choose a cut from 2 to 16." in captured.err


def test_a_bundle_of_a_classifier_means_its_images(repository: Path, data: Path, tmp_path: Path, capsys) -> None:
    bundle = repository / "bundles" / "covid19_classification"
    assert main(["explain", str(bundle), str(data), str(tmp_path / "out")]) == 2
    assert "model" in capsys.readouterr().err


def test_a_bundle_of_a_pre_training_means_its_encoder(encoder: str, data: Path, tmp_path: Path, capsys) -> None:
    bundle = tmp_path / "spark_pretrain"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "configs" / "metadata.json").write_text("{}")
    (bundle / "models").mkdir()
    (bundle / "models" / "encoder.pt").write_bytes(Path(encoder).read_bytes())
    assert main(["explain", str(bundle), str(data), "--folds", "2"]) == 2
    assert "--folds is at least 3" in capsys.readouterr().err


def test_the_help_tells_both_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["explain", "--help"])
    text = capsys.readouterr().out
    assert "ENCODER [ENCODER ...] DATA" in text
    assert "BUNDLE_OR_ZIP DATA OUT" in text
