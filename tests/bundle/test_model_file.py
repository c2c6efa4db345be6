from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from monai_ext.bundle import latest_model, load_model, model_setting, publish_model, trained_on
from monai_ext.errors import WeightsError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle in which a linear layer was published after training."""
    (tmp_path / "encoder.pt").write_bytes(b"the encoder")
    trainer = SimpleNamespace(network=_network(), state=SimpleNamespace(mlflow_run_id="abc"))
    metadata = {"backbone": "resnet18", "data_fingerprint": "f1"}
    publish_model(str(tmp_path / "bundle"), trainer=trainer, encoder=str(tmp_path / "encoder.pt"), metadata=metadata)
    return tmp_path / "bundle"


def _network(outputs: int = 2) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, outputs)


def test_model_and_encoder_are_where_the_other_configs_look(bundle):
    assert latest_model(str(bundle)) == str(bundle / "models" / "model.pt")
    assert (bundle / "models" / "encoder.pt").read_bytes() == b"the encoder"
    assert {file.name for file in (bundle / "models").iterdir()} == {"model.pt", "model.json", "encoder.pt"}


def test_weights_and_settings_come_back(bundle):
    fresh = nn.Linear(3, 2)
    loaded = load_model(fresh, model=latest_model(str(bundle)))
    assert torch.equal(loaded.weight, _network().weight)
    assert not loaded.training
    assert model_setting(latest_model(str(bundle)), name="backbone") == "resnet18"
    assert model_setting(latest_model(str(bundle)), name="mlflow_run_id") == "abc"


def test_without_tracking_there_is_no_run_to_name(tmp_path):
    (tmp_path / "encoder.pt").write_bytes(b"")
    trainer = SimpleNamespace(network=_network(), state=SimpleNamespace())
    publish_model(str(tmp_path), trainer=trainer, encoder=str(tmp_path / "encoder.pt"), metadata={})
    assert model_setting(latest_model(str(tmp_path)), name="mlflow_run_id") is None


def test_before_any_training_the_error_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run configs/train\.json to its end first"):
        latest_model(str(tmp_path))


def test_a_setting_that_the_file_does_not_have_is_named(bundle):
    with pytest.raises(WeightsError, match="does not say its window"):
        model_setting(latest_model(str(bundle)), name="window")


def test_another_architecture_is_refused_with_the_settings_of_the_training(bundle):
    with pytest.raises(WeightsError, match=r"size mismatch for weight.*2 differences in all.*'backbone': 'resnet18'"):
        load_model(_network(outputs=5), model=latest_model(str(bundle)))


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        load_model(_network(), model=str(tmp_path / "model.pt"))


def test_other_weights_have_no_settings(tmp_path):
    torch.save(_network().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match=r"There is no .*weights\.json"):
        model_setting(str(tmp_path / "weights.pt"), name="backbone")


def test_other_data_than_that_of_the_training_is_noticed(bundle, caplog):
    same, other = (SimpleNamespace(fingerprint=name, source=SimpleNamespace(root="here")) for name in ("f1", "f2"))
    assert trained_on(same, model=latest_model(str(bundle)))
    assert not caplog.records
    assert not trained_on(other, model=latest_model(str(bundle)))
    assert "trained on other data than here" in caplog.text


def test_a_place_that_cannot_be_written_to_is_refused_and_the_run_is_named(tmp_path):
    (tmp_path / "models").write_text("a file where the folder should be")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "encoder.pt").write_bytes(b"")
    trainer = SimpleNamespace(network=_network(), state=SimpleNamespace())
    with pytest.raises(OSError, match=r"The run's own folder, .*run, has everything"):
        publish_model(str(tmp_path), trainer=trainer, encoder=str(tmp_path / "run" / "encoder.pt"), metadata={})
