from __future__ import annotations

from pathlib import Path

from monai_ext.tracking.provenance import (
    bundle_tags,
    dataset_input,
    flat_parameters,
    installed_packages,
    version_tags,
)


def test_a_value_too_long_for_mlflow_is_cut_and_says_where_all_of_it_is() -> None:
    value = flat_parameters({"windows": "x" * 9000})["windows"]
    assert len(value) == 6000
    assert value.endswith("(9000 characters, see config.json)")


def test_names_that_mlflow_refuses_are_made_acceptable() -> None:
    assert flat_parameters({"train::batch#size": 3, "a+b": 1}) == {"train::batch_size": "3", "a_b": "1"}


def test_an_empty_mapping_is_a_value() -> None:
    assert flat_parameters({"extra": {}}) == {"extra": "{}"}


def test_a_bundle_is_named_by_its_folder_and_its_metadata(tmp_path: Path) -> None:
    (tmp_path / "spark" / "configs").mkdir(parents=True)
    assert bundle_tags(tmp_path / "spark")["monai_ext.bundle"] == "spark"
    (tmp_path / "spark" / "configs" / "metadata.json").write_text('{"version": "0.2.0"}')
    assert bundle_tags(tmp_path / "spark")["monai_ext.bundle_version"] == "0.2.0"
    assert bundle_tags(None) == {}


def test_a_dataset_without_fingerprint_is_not_logged() -> None:
    assert dataset_input("training", [1, 2, 3]) is None


def test_the_versions_that_matter_and_all_others_are_told() -> None:
    assert version_tags().keys() >= {f"monai_ext.version.{name}" for name in ("python", "torch", "monai", "mlflow")}
    assert any(line.startswith("pytest==") for line in installed_packages().splitlines())
