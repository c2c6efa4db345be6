"""A packed bundle: only what is listed, literal, without a finding, the same bytes each time."""

import csv
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load as load_safetensors

from helpers.trained_bundle import SETTINGS, write_trained_bundle
from monai_ext.cli import main
from monai_ext.errors import BundleAuditError, DatasetError, WeightsError
from monai_ext.sharing.audit import audit_bundle
from monai_ext.sharing.audit.config_text import flattened
from monai_ext.sharing.bundle_files import open_bundle_files
from monai_ext.sharing.pack import PackOptions, pack_bundle
from monai_ext.sharing.package_file import MANIFEST
from monai_ext.sharing.reference_statistics import DistanceModel, network_inputs
from monai_ext.sharing.trained_classifier import read_trained_classifier
from monai_ext.sharing.verification import verify_package

NAME = "covid19_classification"


def _images(count: int = 60, groups: int = 20) -> SimpleNamespace:
    torch.manual_seed(1)
    images = [{"image": (0.5 + 0.1 * torch.randn(1, 40, 40)).clamp(0, 1)} for _ in range(count)]
    wrapped = type("Images", (list,), {})(images)
    wrapped.groups = [f"patient {number % groups}" for number in range(count)]
    return wrapped


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trained_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def package(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packages") / "covid.zip"
    pack_bundle(bundle, path, PackOptions(images=_images()))
    return path


def _read(package: Path, name: str) -> bytes:
    return open_bundle_files(package).files[name].read()


def test_only_what_is_listed_travels(package: Path) -> None:
    assert sorted(open_bundle_files(package).files) == [
        *("LICENSE", "README.md", "configs/inference.json", "configs/logging.conf", "configs/metadata.json"),
        *("docs/README.md", "docs/data_license.txt", MANIFEST),
        *("models/model.json", "models/model.pt", "models/model.safetensors", "models/reference.json"),
    ]


def test_the_audit_finds_nothing_and_the_manifest_fits(package: Path) -> None:
    assert audit_bundle(package).findings == []
    assert [problem for problem in verify_package(package, trusted=[]).problems if "not signed" not in problem] == []


def test_nothing_that_is_called_is_computed_and_the_settings_are_written_out(package: Path) -> None:
    config = json.loads(_read(package, "configs/inference.json"))
    targets = [value for place, value in flattened(config) if place.endswith("_target_")]
    assert targets
    assert all(target.replace(".", "").replace("_", "").isalnum() for target in targets)
    assert config["network_def"]["_target_"] == "monai.networks.nets.resnet10"
    assert config["bundle_root"] == "."


def test_the_weights_are_the_same_in_both_files(package: Path, bundle: Path) -> None:
    trained = torch.load(bundle / "models" / "model.pt", weights_only=True)
    packed = load_safetensors(_read(package, "models/model.safetensors"))
    assert packed.keys() == trained.keys()
    assert all(torch.equal(packed[name], trained[name]) for name in trained)
    model = read_trained_classifier(open_bundle_files(package))
    assert model.threshold == SETTINGS["threshold"]
    assert model.build()(torch.zeros(1, 1, 32, 32)).shape == (1, 2)


def test_the_same_bundle_gives_the_same_bytes_from_any_folder(package: Path, bundle: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other place" / NAME
    shutil.copytree(bundle, elsewhere)
    pack_bundle(elsewhere, tmp_path / "again.zip", PackOptions(images=_images()))
    assert (tmp_path / "again.zip").read_bytes() == package.read_bytes()


def test_no_path_name_or_patient_of_the_training_travels(package: Path, bundle: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    for planted in ("somebody", "Doe_Jane", str(bundle), "stays at home", "patient 3"):
        assert planted.encode() not in content, planted


def test_a_planted_string_stops_the_packing_and_is_not_repeated(bundle: Path, tmp_path: Path) -> None:
    changed = tmp_path / NAME
    shutil.copytree(bundle, changed)
    readme = changed / "docs" / "README.md"
    readme.write_text(readme.read_text() + "\nTrained in /home/janedoe/data.\n")
    with pytest.raises(BundleAuditError, match=r"docs/README.md must not travel: it contains a path") as error:
        pack_bundle(changed, tmp_path / "a.zip")
    assert "janedoe" not in str(error.value)
    with pytest.raises(BundleAuditError, match="a name of an image"):
        pack_bundle(bundle, tmp_path / "a.zip", PackOptions(private={"name of an image": {"COVID-CT-Dataset"}}))
    assert not (tmp_path / "a.zip").exists()


def test_a_bundle_that_would_not_pass_its_readers_audit_is_not_packed(bundle: Path, tmp_path: Path) -> None:
    changed = tmp_path / NAME
    shutil.copytree(bundle, changed)
    config = json.loads((changed / "configs" / "inference.json").read_text())
    config["extra"] = {"_target_": "os.system", "command": "true"}
    (changed / "configs" / "inference.json").write_text(json.dumps(config))
    with pytest.raises(BundleAuditError, match=r"would not pass the audit.*extra::_target_"):
        pack_bundle(changed, tmp_path / "a.zip")


def test_an_untrained_or_incomplete_bundle_is_named(bundle: Path, tmp_path: Path) -> None:
    changed = tmp_path / NAME
    shutil.copytree(bundle, changed)
    (changed / "LICENSE").unlink()
    with pytest.raises(BundleAuditError, match="it lacks LICENSE"):
        pack_bundle(changed, tmp_path / "a.zip")
    shutil.rmtree(changed / "models")
    with pytest.raises(WeightsError, match="has no trained model"):
        pack_bundle(changed, tmp_path / "a.zip")
    with pytest.raises(BundleAuditError, match=r"does not end in \.zip"):
        pack_bundle(bundle, tmp_path / "a.tar")
    with pytest.raises(DatasetError, match="40 images of 6 patients"):
        pack_bundle(bundle, tmp_path / "a.zip", PackOptions(images=_images(12)))


def test_the_reference_knows_its_own_kind_and_no_other(package: Path) -> None:
    reference = json.loads(_read(package, "models/reference.json"))
    assert (reference["images"], reference["groups"], reference["modality"]) == (60, 20, "CT")
    gray = DistanceModel.from_json(reference["gray_values"])
    assert 0 <= gray.false_alarms <= 0.2
    assert gray.judged_on > 15
    assert gray.distances(gray.center[None])[0] == pytest.approx(0.0, abs=1e-5)
    assert gray.distances(gray.center[None] + 1.0)[0] > gray.threshold
    with pytest.raises(DatasetError, match="pack it again"):
        DistanceModel.from_json({"center": [1.0]})


def test_the_card_says_what_is_known_and_what_is_not(bundle: Path, tmp_path: Path, capsys) -> None:
    results = {"images": 203, "groups": 120, "metrics": {"auc": {"value": 0.79, "low": 0.68, "high": 0.87}}}
    shortcuts = [{"predictor": "gray statistics", "metrics": {"auc": {"value": 0.81, "low": 0.7, "high": 0.9}}}]
    for name, content in (("metrics", results), ("shortcuts", shortcuts)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    arguments = ["--results", str(tmp_path / "metrics.json"), "--shortcuts", str(tmp_path / "shortcuts.json")]
    assert main(["bundle", "pack", str(bundle), str(tmp_path / "a.zip"), *arguments]) == 0
    card = _read(tmp_path / "a.zip", "README.md").decode()
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "| auc | 0.790 (0.680 to 0.870) |" in card
    assert "- gray statistics: auc 0.810 (0.700 to 0.900)" in card
    assert "no columns with age, sex, scanner or hospital were given" in card
    assert "No statistics of the training images were packed" in card
    assert "Not a medical device" in card
    wrong = ["--results", str(tmp_path / "shortcuts.json")]
    assert main(["bundle", "pack", str(bundle), str(tmp_path / "b.zip"), *wrong]) == 2
    assert "expected is metrics.json" in capsys.readouterr().err


def test_the_package_runs_with_monai_alone_from_where_it_was_unpacked(package: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "images").mkdir()
    for number in range(2):
        Image.fromarray(_ramp(number)).save(tmp_path / "images" / f"{number}.png")
    command = [sys.executable, "-c", _WITHOUT_THIS_PROJECT, "--config_file", "configs/inference.json"]
    command += ["--dataset_dir", "../images", "--output_dir", str(tmp_path / "out")]
    ran = subprocess.run(command, cwd=tmp_path / NAME, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"].rpartition("/")[2] for row in rows] == ["0.png", "1.png"]
    network = read_trained_classifier(open_bundle_files(package)).build()
    images = [torch.from_numpy(_ramp(number))[None] / 255 for number in range(2)]
    with torch.no_grad():
        expected = network(network_inputs(images, 32, 1)).softmax(dim=1)[:, 1]
    assert torch.allclose(torch.tensor([float(row["COVID"]) for row in rows]), expected, atol=1e-5)


def _ramp(number: int) -> np.ndarray:
    """A picture (rows, columns) of 40 gray levels, uint8."""
    return np.full((40, 1), 60 * number, np.uint8) + np.arange(40, dtype=np.uint8)


_WITHOUT_THIS_PROJECT = (
    "import sys; sys.modules['monai_ext'] = None; import fire, monai.bundle; fire.Fire(monai.bundle.run)"
)
