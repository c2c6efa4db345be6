"""Exported classifiers give the probabilities of the original, for any batch, and carry what is known of them."""

import errno
import importlib.util
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from helpers.tiny_resnet import TINY_CLASSIFIER
from monai_ext.cli import main
from monai_ext.errors import BundleAuditError, WeightsError
from monai_ext.networks.weights import write_model
from monai_ext.sharing import FORMATS, export, export_bundle

REPOSITORY = Path(__file__).resolve().parents[2]
METADATA = {"backbone": "none", "in_channels": 1, "image_size": 32, "class_names": ["no", "yes"], "threshold": 0.4}


@pytest.fixture
def bundle(tmp_path):
    """The COVID-19 bundle with a tiny network, whose weights are in ``models/model.pt``."""
    root = tmp_path / "covid19_classification"
    shutil.copytree(REPOSITORY / "bundles" / root.name / "configs", root / "configs")
    config = json.loads((root / "configs" / "inference.json").read_text()) | {"network_def": TINY_CLASSIFIER}
    (root / "configs" / "inference.json").write_text(json.dumps(config))
    parser = ConfigParser({"in_channels": 1, "class_names": METADATA["class_names"], "network": TINY_CLASSIFIER})
    (root / "models").mkdir()
    network = parser.get_parsed_content("network")
    for value in network.buffers():
        value.copy_(torch.rand_like(value.float()) + 0.5)
    write_model(root / "models" / "model.pt", network, metadata=METADATA)
    return root


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_an_export_gives_the_same_probabilities_for_another_batch_size(bundle, name):
    if name == "onnx" and not all(importlib.util.find_spec(package) for package in ("onnxscript", "onnxruntime")):
        pytest.skip("the packages of the extra 'export' are not installed")
    file = export_bundle(bundle, formats=[name])[name]
    images = torch.rand(5, 1, 32, 32)
    network, _ = export._open(bundle, str(bundle / "models" / "model.pt"))
    with torch.no_grad():
        expected = network(images)
        exported = FORMATS[name][2](file.read_bytes())(images)
    assert torch.allclose(exported, expected, atol=1e-4)
    assert torch.allclose(exported.sum(dim=1), torch.ones(5), atol=1e-5)


@pytest.mark.parametrize("name", ["torchscript", "torch_export"])
def test_an_export_carries_the_models_metadata(bundle, name):
    file = export_bundle(bundle, formats=[name])[name]
    with zipfile.ZipFile(file) as archive:
        (entry,) = (entry for entry in archive.namelist() if entry.endswith("metadata.json"))
        assert METADATA.items() <= json.loads(archive.read(entry)).items()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_an_export_names_no_folder_of_this_machine(bundle, name):
    if name == "onnx" and not all(importlib.util.find_spec(package) for package in ("onnxscript", "onnxruntime")):
        pytest.skip("the packages of the extra 'export' are not installed")
    file = export_bundle(bundle, formats=[name])[name]
    parts = [file.read_bytes()]
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            parts += [archive.read(entry) for entry in archive.infolist()]
    folders = {str(Path(torch.__file__).parents[1]), str(REPOSITORY), str(Path.home()), sys.prefix, str(bundle)} - {"/"}
    assert [(name, folder) for part in parts for folder in folders if folder.encode() in part] == []


def test_the_command_writes_where_it_is_told(bundle, tmp_path, capsys):
    assert main(["export", str(bundle), "--format", "torchscript", "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "model.ts").is_file()
    assert "torchscript: " in capsys.readouterr().out


def test_a_file_that_would_give_other_probabilities_is_not_written(bundle, monkeypatch):
    ending, write, read = FORMATS["torchscript"]
    monkeypatch.setitem(
        FORMATS, "torchscript", (ending, write, lambda content: lambda images: read(content)(images) + 0.001)
    )
    with pytest.raises(BundleAuditError, match=r"differ by 0\.001"):
        export_bundle(bundle)
    assert not (bundle / "models" / "model.ts").exists()


def test_a_pre_trained_network_is_no_classifier(bundle):
    write_model(bundle / "models" / "spark.pt", {}, metadata={"backbone": "resnet18"})
    with pytest.raises(WeightsError, match="no classifier with class names"):
        export_bundle(bundle, model=str(bundle / "models" / "spark.pt"))


def test_an_unknown_format_and_a_folder_without_configs_are_refused(bundle, tmp_path):
    with pytest.raises(ValueError, match="torchscript, onnx, torch_export; received 'tflite'"):
        export_bundle(bundle, formats=["tflite"])
    with pytest.raises(ValueError, match=r"no configs/inference\.json"):
        export_bundle(tmp_path, model=str(bundle / "models" / "model.pt"))


def test_onnx_without_its_packages_says_what_to_install(bundle, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"monai-ext\[export\]"):
        export_bundle(bundle, formats=["onnx"])


def test_an_export_takes_the_place_of_a_link_and_not_of_its_target(bundle, tmp_path):
    letter = tmp_path / "letter.txt"
    letter.write_text("dear colleague")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.ts").symlink_to(letter)
    file = export_bundle(bundle, output_dir=tmp_path / "out")["torchscript"]
    assert letter.read_text() == "dear colleague"
    assert zipfile.is_zipfile(file)
    assert not file.is_symlink()


def test_a_disk_that_refuses_an_export_is_a_sentence_and_leaves_what_was_there(bundle, tmp_path, monkeypatch, capsys):
    (tmp_path / "model.ts").write_text("of an earlier time")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert main(["export", str(bundle), "--output", str(tmp_path)]) == 2
    assert main(["export", str(bundle), "--output", str(tmp_path / "model.ts")]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert (tmp_path / "model.ts").read_text() == "of an earlier time"
