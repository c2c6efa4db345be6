"""A model's weights are a plain state dict, what they are of lies beside them, and the two cannot be mixed up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from monai.networks.utils import copy_model_state
from torch import nn

from monai_ext.errors import WeightsError
from monai_ext.networks.weights import read_model, read_model_metadata, split_model_file, write_model

METADATA = {"backbone": "resnet18", "window_hu": [-1350.0, 150.0], "lineage": {"pretrained": "none"}, "threshold": None}


def network(outputs: int = 2) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, outputs)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "models" / "model.pt", network(), metadata=METADATA)
    return tmp_path / "models" / "model.pt"


def test_monai_loads_every_tensor_and_strictly(model):
    fresh = nn.Linear(3, 2)
    _, changed, unchanged = copy_model_state(fresh, torch.load(model, weights_only=True), inplace=False)
    assert (sorted(changed), unchanged) == (["bias", "weight"], [])
    fresh.load_state_dict(read_model(model), strict=True)
    assert torch.equal(fresh.weight, network().weight)


def test_the_metadata_come_back_as_they_were(model):
    assert METADATA.items() <= read_model_metadata(model).items()
    assert {file.name for file in model.parent.iterdir()} == {"model.pt", "model.json"}


def test_metadata_of_other_weights_are_refused(model, tmp_path):
    write_model(tmp_path / "other.pt", network(4), metadata=METADATA)
    shutil.copy(tmp_path / "other.pt", model)
    with pytest.raises(WeightsError, match=r"written for other weights than .*Copy both from the run's folder"):
        read_model_metadata(model)


def test_weights_that_were_changed_on_purpose_are_read_once_the_hash_is_removed(model):
    torch.save(nn.Linear(3, 2).state_dict(), model)
    metadata = json.loads(model.with_suffix(".json").read_text())
    model.with_suffix(".json").write_text(json.dumps({k: v for k, v in metadata.items() if k != "weights_sha256"}))
    assert read_model_metadata(model)["backbone"] == "resnet18"


def test_a_value_that_has_changed_is_refused_until_its_hash_is_removed(model):
    file = model.with_suffix(".json")
    file.write_text(file.read_text().replace("-1350.0", "-1354.0"))
    with pytest.raises(WeightsError, match=r"model\.json is damaged, or was changed.*removes metadata_sha256"):
        read_model_metadata(model)
    metadata = json.loads(file.read_text())
    del metadata["metadata_sha256"]
    file.write_text(json.dumps(metadata))
    assert read_model_metadata(model)["window_hu"] == [-1354.0, 150.0]


def test_a_flipped_bit_of_a_weight_is_refused(model):
    content = bytearray(model.read_bytes())
    content[content.index(network().weight.detach().numpy().tobytes()) + 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(WeightsError, match="truncated or damaged: Bad CRC-32"):
        read_model(model)


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_missing_or_damaged_metadata_are_named(model, content):
    file = model.with_suffix(".json")
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    with pytest.raises(WeightsError, match=r"model\.json"):
        read_model_metadata(model)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file as early versions wrote it."""
    torch.save({"state_dict": network().state_dict(), "metadata": METADATA}, tmp_path / "model.pt")
    return tmp_path / "model.pt"


@pytest.mark.parametrize("read", [read_model, read_model_metadata])
def test_an_old_file_is_refused_with_what_to_do(old, read):
    with pytest.raises(
        WeightsError, match=r"in one file, as early versions wrote it.*split_model_file\('.*model\.pt'\)"
    ):
        read(old)


def test_an_old_file_is_split(old):
    split_model_file(old)
    assert torch.equal(read_model(old)["weight"], network().weight)
    assert METADATA.items() <= read_model_metadata(old).items()
    with pytest.raises(WeightsError, match="cannot be split"):
        split_model_file(old)


def test_an_encoder_export_is_no_model(tmp_path):
    torch.save({"state_dict": {}, "metadata": {"monai_ext_version": "0.1.0"}}, tmp_path / "encoder.pt")
    for read in (read_model, read_model_metadata):
        with pytest.raises(WeightsError, match="it is the export of an encoder"):
            read(tmp_path / "encoder.pt")


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_a_damaged_or_missing_file_is_refused(tmp_path, content):
    path = tmp_path / "model.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_model(path)


def test_a_truncated_file_is_refused(model):
    model.write_bytes(model.read_bytes()[:-200])
    with pytest.raises(WeightsError, match="cannot be read"):
        read_model(model)
