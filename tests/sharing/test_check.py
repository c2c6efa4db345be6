"""The table of the model zoo's checks, on a tiny bundle of stock components."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from monai.networks.nets import resnet18

from helpers.bundle_files import CLASSIFICATION
from monai_ext.cli import main
from monai_ext.errors import BundleAuditError
from monai_ext.sharing.check import STEPS, as_table, check_bundle

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
    assert check_bundle(bundle, export=[])[-2].status == "skipped"
    assert [row for row in rows if row.status == "failed"] == []
    status = {row.check: row.status for row in rows}
    assert (status["network"], status["export to TorchScript"]) == ("ok", "ok")
    assert {len(line.split("  ")[0]) > 0 for line in as_table(rows).splitlines()} == {True}


def test_a_trained_network_has_to_be_what_the_metadata_say_as_inference_builds_it(bundle: Path) -> None:
    config = json.loads((bundle / "configs" / "inference.json").read_text())
    config["network_def"]["num_classes"] = 5
    (bundle / "configs" / "inference.json").write_text(json.dumps(config))
    assert "network" not in _failed(bundle)
    (bundle / "models").mkdir()
    (bundle / "models" / "model.pt").write_bytes(b"")
    failed = _failed(bundle, export=["ONNX"])
    assert "network_def of inference.json: output channel number `5`" in failed["network"]
    assert failed["export to ONNX"]


def test_many_bundles_are_one_table_of_the_zoos_steps_in_the_end(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(bundle, bundle.with_name("other_bundle"))
    (other / "LICENSE").unlink()
    assert main(["bundle", "check", str(bundle), str(other)]) == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[-3:]]
    assert lines[0] == ["bundle", *STEPS]
    assert lines[1] == ["small_bundle", "ok", "ok", "ok", "skipped", "ok", "skipped", "skipped", "ok"]
    assert lines[2][:3] == ["other_bundle", "failed", "ok"]


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
