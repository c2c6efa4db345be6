from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from monai_ext.bundle import locate_bundle


@pytest.fixture
def repository_with_bundle(tmp_path: Path) -> Path:
    configs = tmp_path / "checkout" / "bundles" / "some_bundle" / "configs"
    configs.mkdir(parents=True)
    (configs / "metadata.json").write_text('{"version": "0.1.0"}')
    (configs / "train.json").write_text(
        '{"bundle_root": {"_target_": "monai_ext.bundle.locate_bundle", "name": "some_bundle"}, "run": []}'
    )
    return tmp_path / "checkout"


def test_found_from_the_repository_root(repository_with_bundle, monkeypatch):
    monkeypatch.chdir(repository_with_bundle)
    assert locate_bundle("some_bundle") == str(repository_with_bundle / "bundles" / "some_bundle")


def test_found_from_inside_the_bundle(repository_with_bundle, monkeypatch):
    root = repository_with_bundle / "bundles" / "some_bundle"
    monkeypatch.chdir(root)
    assert locate_bundle("some_bundle") == str(root)


def test_the_config_that_is_being_run_comes_before_the_working_directory(repository_with_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(repository_with_bundle)
    unpacked = tmp_path / "downloads" / "renamed"
    unpacked.parent.mkdir()
    (repository_with_bundle / "bundles" / "some_bundle").rename(unpacked)
    workflow = ConfigWorkflow(str(unpacked / "configs" / "train.json"), logging_file=False)
    workflow.initialize()
    assert workflow.bundle_root == str(unpacked)


def test_elsewhere_the_error_names_the_places_and_the_flag(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="--bundle_root"):
        locate_bundle("some_bundle")
