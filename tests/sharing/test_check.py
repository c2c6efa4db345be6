"""The table of the model zoo's checks, on a tiny bundle of stock components."""

import json
from pathlib import Path

import pytest
import torch
from monai.networks.nets import resnet18

from helpers.bundle_files import CLASSIFICATION
from monai_ext.cli import main
from monai_ext.errors import BundleAuditError
from monai_ext.sharing.check import as_table, check_bundle

NETWORK = {
    "_target_": "monai.networks.nets.resnet18",
    "spatial_dims": 2,
    "n_input_channels": 1,
    "num_classes": 2,
    "conv1_t_stride": 2,
    "bias_downsample": False,
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "small_bundle"
    metadata = json.loads((CLASSIFICATION[0] / "configs" / "metadata.json").read_text())
    metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] = [32, 32]
    metadata["required_packages_version"] = {}
    parts = dict.fromkeys(("bundle_root", "device", "dataset_dir", "dataset", "evaluator", "inferer"), ".")
    train = dict.fromkeys(("trainer", "dataset", "inferer"), ".")
    files = {
        "LICENSE": "Apache-2.0\n",
        "docs/README.md": "# Small\n",
        "configs/metadata.json": json.dumps(metadata),
        "configs/inference.json": json.dumps({**parts, "network_def": NETWORK}),
        "configs/train.json": json.dumps({**parts, "train": train, "network_def": NETWORK}),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _failed(bundle: Path, **options: object) -> dict[str, str]:
    return {row.check: row.detail for row in check_bundle(bundle, **options) if row.status == "failed"}


def test_a_complete_bundle_fails_no_check_and_its_weights_are_exported(bundle: Path) -> None:
    options = {name: value for name, value in NETWORK.items() if name != "_target_"}
    (bundle / "models").mkdir()
    torch.save(resnet18(**options).state_dict(), bundle / "models" / "model.pt")
    rows = check_bundle(bundle, export=["TorchScript"])
    assert [row for row in rows if row.status == "failed"] == []
    status = {row.check: row.status for row in rows}
    assert (status["network"], status["export to TorchScript"]) == ("ok", "ok")
    assert {len(line.split("  ")[0]) > 0 for line in as_table(rows).splitlines()} == {True}


def test_each_mistake_is_a_row_that_names_it(bundle: Path) -> None:
    (bundle / "LICENSE").unlink()
    (bundle / "big.dat").write_bytes(bytes(11 * 2**20))
    (bundle / "scripts.py").write_text("")
    config = json.loads((bundle / "configs" / "inference.json").read_text())
    del config["inferer"]
    (bundle / "configs" / "inference.json").write_text(json.dumps(config))
    train = json.loads((bundle / "configs" / "train.json").read_text())
    train["network_def"]["num_classes"] = 5
    (bundle / "configs" / "train.json").write_text(json.dumps(train))
    failed = _failed(bundle)
    assert failed["files"] == "LICENSE"
    assert failed["large files"] == "big.dat"
    assert failed["ids of inference.json"] == "inferer"
    assert "doesn't match" in failed["network"]
    assert failed["audit"] == "1 refused, 1 unknown"
    assert main(["bundle", "check", str(bundle)]) == 1


def test_a_version_that_is_not_installed_is_named(bundle: Path) -> None:
    path = bundle / "configs" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"monai_version": "1.0.0"}))
    assert "monai 1.0.0 is named" in _failed(bundle)["libraries"]


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleAuditError, match="Name the folder of a bundle"):
        check_bundle(tmp_path)
