"""The trained model as configs ask for it."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from monai_ext.bundle import TrainedModel, latest_model, load_model
from monai_ext.errors import WeightsError
from monai_ext.networks.weights import write_model

SETTINGS = {"backbone": "resnet18", "image_size": 32, "threshold": 0.4, "data_fingerprint": "f1", "fold": 1}


def linear(outputs: int = 2, *, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(3, outputs)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle in which a linear layer was published."""
    write_model(tmp_path / "models" / "model.pt", linear(), metadata=SETTINGS)
    return tmp_path


def other(bundle: Path, *, seed: int = 1, **changes) -> str:
    write_model(bundle / "other.pt", linear(seed=seed), metadata=SETTINGS | changes)
    return str(bundle / "other.pt")


def test_settings_are_attributes(bundle):
    trained = TrainedModel(latest_model(str(bundle)))
    assert (trained.backbone, trained.image_size, trained.threshold) == ("resnet18", 32, 0.4)
    assert copy.deepcopy(trained).backbone == "resnet18"


def test_a_setting_that_training_did_not_write_is_named(bundle):
    with pytest.raises(WeightsError, match="does not say its window"):
        _ = TrainedModel(latest_model(str(bundle))).window


def test_weights_come_back_in_evaluation_mode(bundle):
    loaded = load_model(linear(seed=5), model=TrainedModel(latest_model(str(bundle))))
    assert isinstance(loaded, nn.Linear)
    assert torch.equal(loaded.weight, linear().weight)
    assert not loaded.training


def test_several_models_are_the_mean_of_their_probabilities(bundle):
    trained = TrainedModel([latest_model(str(bundle)), other(bundle, threshold=0.6)])
    ensemble = load_model(linear(), model=trained)
    images = torch.rand(4, 3)
    mean = torch.stack([linear()(images).softmax(1), linear(seed=1)(images).softmax(1)]).mean(0)
    assert torch.allclose(ensemble(images).softmax(1), mean)
    assert trained.threshold == pytest.approx(0.5)


def test_without_a_threshold_of_each_there_is_none(bundle):
    assert TrainedModel([latest_model(str(bundle)), other(bundle, threshold=None)]).threshold is None


def test_models_of_other_preprocessing_are_no_ensemble(bundle):
    models = [latest_model(str(bundle)), other(bundle, image_size=64)]
    with pytest.raises(WeightsError, match=r"image_size is 32 in .*model\.pt and 64 in .*other\.pt"):
        TrainedModel(models)


def test_no_model_at_all_is_refused():
    with pytest.raises(WeightsError, match="--models"):
        TrainedModel([])


def test_before_any_training_the_error_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run configs/train\.json to its end first"):
        latest_model(str(tmp_path))


def test_another_architecture_is_refused_with_the_settings_of_the_training(bundle):
    with pytest.raises(WeightsError, match=r"size mismatch for weight.*2 differences in all.*'backbone': 'resnet18'"):
        load_model(linear(outputs=5), model=latest_model(str(bundle)))


def dataset(fingerprint: str) -> SimpleNamespace:
    return SimpleNamespace(fingerprint=fingerprint, describe=lambda: {"section": "validation"})


def test_details_name_the_model_and_the_data(bundle, caplog):
    trained = TrainedModel(latest_model(str(bundle)))
    assert trained.details(dataset("f1")) == {
        "models": [latest_model(str(bundle))],
        "fold": 1,
        "section": "validation",
        "data_fingerprint": "f1",
        "same_data_as_training": True,
    }
    assert not caplog.records


def test_other_data_than_that_of_the_training_is_noticed(bundle, caplog):
    assert TrainedModel(latest_model(str(bundle))).details(dataset("f2"))["same_data_as_training"] is False
    assert "trained on other data" in caplog.text


@pytest.mark.parametrize(
    ("trained", "data", "sentence"),
    [
        (None, [1.5, 1.5, 1.5], "was trained on slices, the data is read as volumes of 1.5 x 1.5 x 1.5 mm"),
        ([2.0, 1.0, 1.0], [1.5, 1.5, 1.5], "was trained on volumes of 2 x 1 x 1 mm, .* --slices::spacing_mm"),
        ([2.0, 1.0, 1.0], None, "the data is read as slices"),
    ],
)
def test_data_of_another_spacing_than_that_of_the_training_is_refused(bundle, trained, data, sentence):
    path = other(bundle, **({} if trained is None else {"spacing_mm": trained}))
    content = {"section": "validation"} | ({} if data is None else {"spacing_mm": data})
    volumes = SimpleNamespace(fingerprint="f1", describe=lambda: content)
    with pytest.raises(WeightsError, match=sentence):
        TrainedModel(path).details(volumes)
