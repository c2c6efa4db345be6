"""The segmentation bundles end to end: train, evaluate, infer with MONAI alone, resume, and what is refused."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, run
from PIL import Image

from helpers.bundle_files import SEGMENTATION, run_bundle, tiny_model, tiny_training, untracked
from helpers.fresh_process import run_program_twice
from helpers.masked_images import disc, write_masked_volumes
from helpers.tiny_resnet import TINY_SEGMENTER
from monai_ext.networks import build_encoder, build_segmenter
from monai_ext.networks.weights import read_model, read_model_metadata

LUNG = Path("bundles/lung_infection_segmentation")
TINY = tiny_training(SEGMENTATION[0])


@pytest.fixture(scope="session")
def masked(data_of: Callable[[Path], str]) -> Path:
    """Twenty-four pictures with masks of twelve patients, with a published split."""
    return Path(data_of(LUNG))


@pytest.fixture
def segmenter(trained: Callable[[Path], Path]) -> Path:
    """The bundle of the copied repository after a training."""
    return trained(LUNG)


def _rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as stream:
        return {row["file"]: row for row in csv.DictReader(stream)}


def test_training_publishes_the_best_model_with_what_inference_needs(segmenter):
    metadata = read_model_metadata(segmenter / "models" / "model.pt")
    assert metadata["task_kind"] == "segmentation"
    assert metadata["class_names"] == ["background", "infection"]
    assert metadata["labels"] == {"1": "infection"}
    assert metadata["window_hu"] == [-1350.0, 150.0]
    assert metadata["threshold"] is None
    assert metadata["lineage"] == {"pretrained": "none"}
    assert "method" not in metadata
    (folder,) = (segmenter / "models").glob("*/")
    assert {file.name for file in (folder / "validation").iterdir()} >= {"metrics.json", "overlays.png", "per_case.csv"}


def test_evaluation_judges_the_test_section_at_the_images_own_size(segmenter, masked, from_root, tmp_path):
    run_bundle(LUNG, "evaluate", dataset_dir=str(masked), encoder=TINY_SEGMENTER, output_dir=str(tmp_path))
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert (content["cases"], content["groups"]) == (8, 4)
    assert content["same_data_as_training"] is True
    assert content["metrics"]["dice"]["low"] <= content["metrics"]["dice"]["value"]


def _infer(folder: Path, output: Path) -> None:
    config = [str(LUNG / "configs" / "inference.json")]
    run(config_file=config, logging_file=False, encoder=TINY_SEGMENTER, dataset_dir=str(folder), output_dir=str(output))


def _label_map(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


def test_inference_marks_what_evaluation_marks_on_the_grid_of_the_input(segmenter, from_root, tmp_path):
    volumes = write_masked_volumes(tmp_path / "data", count=3)
    turned = nibabel.as_closest_canonical(nibabel.load(volumes / "images" / "scan_1.nii.gz"))
    nibabel.save(nibabel.Nifti1Image(np.asarray(turned.dataobj), turned.affine), volumes / "images" / "scan_1.nii.gz")
    _infer(volumes / "images", tmp_path / "out")
    rows = _rows(tmp_path / "out" / "predictions.csv")
    written = tmp_path / "predicted"
    shutil.copytree(volumes / "images", written / "images")
    (written / "masks").mkdir()
    for name, row in rows.items():
        scan, marked = nibabel.load(volumes / "images" / name), nibabel.load(tmp_path / "out" / row["label_map"])
        assert marked.shape == scan.shape
        assert np.allclose(marked.affine, scan.affine)
        assert marked.get_data_dtype() == np.uint8
        voxel = abs(np.linalg.det(scan.affine)) / 1000
        assert float(row["infection"]) == pytest.approx(_label_map(tmp_path / "out" / row["label_map"]).sum() * voxel)
        nibabel.save(marked, written / "masks" / name)
    assert any(float(row["infection"]) > 0 for row in rows.values())
    settings = {"dataset_dir": str(written), "encoder": TINY_SEGMENTER, "section": "all"}
    run_bundle(LUNG, "evaluate", **settings, output_dir=str(tmp_path / "eval"))
    content = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert content["metrics"]["dice"]["value"] == 1.0


def test_one_bad_file_never_costs_the_others(segmenter, from_root, tmp_path):
    folder = write_masked_volumes(tmp_path / "data", count=1)
    image = Image.fromarray(disc(3)[0])
    image.save(folder / "gray.png")
    image.save(folder / "gray.jpg")
    Image.merge("RGB", [image, image.rotate(90), image.rotate(180)]).save(folder / "=colour.png")
    nibabel.save(nibabel.Nifti1Image(np.full((8, 8, 4, 2), -5, np.int16), np.eye(4)), folder / "several.nii.gz")
    (folder / "broken.nii.gz").write_bytes(b"broken")
    (folder / "IM0001").write_bytes(b"\0" * 128 + b"DICM")
    _infer(folder, tmp_path / "out")
    rows = _rows(tmp_path / "out" / "predictions.csv")
    reasons = {name: row["reason"] for name, row in rows.items() if row["reason"]}
    assert rows.keys() - reasons == {"images/scan_0.nii.gz", "gray.png", "gray.jpg"}
    expected = {
        "masks/scan_0.nii.gz": "label maps",
        "./=colour.png": "colours",
        "several.nii.gz": "several volumes",
        "broken.nii.gz": "gzip",
        "IM0001": "monai_ext infer",
    }
    assert reasons.keys() == expected.keys()
    assert {name for name, words in expected.items() if words not in reasons[name]} == set()
    assert _label_map(tmp_path / "out" / rows["gray.png"]["label_map"]).shape == (44, 40, 1)
    assert rows["gray.png"]["label_map"] != rows["gray.jpg"]["label_map"]
    assert rows["gray.png"]["unit"] == "pixels"
    assert sorted(file.name for file in (tmp_path / "out").glob("*.csv")) == ["predictions.csv"]


def test_inference_builds_the_network_that_training_builds(checkout):
    parser = ConfigParser(ConfigParser.load_config_file(checkout / LUNG / "configs" / "inference.json"))
    for backbone in ("resnet18", "resnet50"):
        parser.update({"backbone": backbone, "in_channels": 1, "class_names": ["a", "b", "c"]})
        inferred = ConfigParser(parser.get()).get_parsed_content("network_def").eval()
        network = build_segmenter(backbone, classes=3).eval()
        inferred.load_state_dict(network.state_dict())
        image = torch.rand(1, 1, 64, 32)
        assert torch.equal(inferred(image), network(image))


def test_a_pretrained_encoder_is_recorded_and_the_decoder_learns_first(masked, from_root, tmp_path):
    parser = ConfigParser({"in_channels": 1, "encoder": TINY_SEGMENTER})
    weights = parser.get_parsed_content("encoder").state_dict()
    torch.save({"state_dict": weights, "metadata": {"monai_ext_version": "0", "method": "SparK"}}, tmp_path / "e.pt")
    settings = {**TINY, "epochs": 1, "head_only_epochs": 1, "best_metric": None, "precision": "fp32"}
    places = {"pretrained": str(tmp_path / "e.pt"), "bundle_root": str(tmp_path), "dataset_dir": str(masked)}
    run_bundle(LUNG, "smoke", **settings, **places)
    metadata = read_model_metadata(tmp_path / "models" / "model.pt")
    assert metadata["protocol"] == "gradual"
    assert metadata["lineage"]["pretrained_method"] == "SparK"
    assert metadata["lineage"]["pretrained_entries"] == len(weights)
    trained = read_model(tmp_path / "models" / "model.pt")
    assert torch.equal(trained["0.weight"], weights["conv1.weight"])
    assert torch.equal(trained["1.running_mean"], weights["bn1.running_mean"])


def test_a_resumed_training_equals_an_uninterrupted_one(masked, from_root, tmp_path):
    common = {**TINY, "dataset_dir": str(masked), "precision": "fp32", "epochs": 2}
    common["train::handlers::6::every_epochs"] = 1
    run_bundle(LUNG, "smoke", **common, bundle_root=str(tmp_path / "whole"))
    run_bundle(LUNG, "smoke", **{**common, "epochs": 1}, bundle_root=str(tmp_path / "parts"))
    run_bundle(LUNG, "smoke", **common, bundle_root=str(tmp_path / "parts"), resume="last")
    whole, parts = (read_model(tmp_path / name / "models" / "model.pt") for name in ("whole", "parts"))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"dataset_dir": "no/data"}, r"^Error: .*no/data does not exist"),
        ({"class_names": ["a", "b", "c"]}, r"^Error: .*cannot be used: it has the values 0, 255"),
        ({"image_size": 50}, r"^Error: .*multiple of 32; received 50: take 64"),
        ({"pretrained": "no/encoder.pt"}, r"^Error: There is no weights file no/encoder.pt"),
    ],
)
def test_bad_input_ends_the_command_with_one_sentence(overrides, sentence, masked, tmp_path, from_root, command_line):
    settings = {**TINY, "dataset_dir": str(masked), **overrides, "output_dir::parent": str(tmp_path / "runs")}
    assert re.search(sentence, command_line(lambda: run_bundle(LUNG, "smoke", **settings)))
    assert not list(tmp_path.rglob("*.pt"))


def test_two_processes_segment_together_as_one_would(repository, masked, tmp_path):
    names = ("train", "smoke", "multi_gpu_train")
    files = ",".join(f"'{LUNG}/configs/{name}.json'" for name in names)
    torch.save(build_encoder("resnet18").state_dict(), tmp_path / "encoder.pth")
    overrides = untracked(repository / LUNG, "train") | {"image_size": 32, "batch_size": 4, "epochs": 2}
    overrides |= {"pretrained": tmp_path / "encoder.pth", "dataset_dir": masked, "bundle_root": tmp_path}
    flags = [text for name, value in overrides.items() for text in (f"--{name}", str(value))]
    command = ("-m", "monai.bundle", "run", "--config_file", f"[{files}]", *flags)
    for done in run_program_twice(*command, cwd=repository, env={"OMP_NUM_THREADS": "1"}):
        assert done.returncode == 0, done.stderr[-2000:]
    (folder,) = (tmp_path / "models").glob("*/")
    assert json.loads((folder / "validation" / "metrics.json").read_text())["cases"] == 4


def test_a_tiny_model_stands_in_for_the_encoder_alone():
    assert tiny_model(SEGMENTATION[0], "inference") == {"encoder": TINY_SEGMENTER}
