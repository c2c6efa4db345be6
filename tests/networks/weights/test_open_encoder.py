"""An encoder built from its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.networks.nets import ResNet

from helpers.contrastive_models import LOSSES, small_method
from monai_ext.errors import WeightsError
from monai_ext.networks import SparK, SparKDecoder, build_encoder
from monai_ext.networks.weights import open_encoder, write_model


def _export(path: Path, *, channels: int = 1, **metadata: object) -> dict[str, torch.Tensor]:
    """An encoder as a training exports it; gives its tensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(channels)
    weights = build_encoder("resnet18", in_channels=channels).state_dict()
    torch.save({"state_dict": weights, "metadata": {"monai_ext_version": "0", **metadata}}, path)
    return weights


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ["encoder.pt", "models/encoder.pt"])
def test_a_file_or_the_folder_of_a_run_or_bundle_gives_the_encoder_and_its_settings(tmp_path: Path, name: str) -> None:
    weights = _export(tmp_path / name, channels=3, image_size=96, window="lung", method="MoCo")
    for source in (tmp_path, tmp_path / name):
        encoder, report, settings = open_encoder(source)
        assert _same(encoder.state_dict(), weights)
        assert (settings["image_size"], settings["window"], settings["method"]) == (96, "lung", "MoCo")
        assert (report.layout, encoder.training) == ("encoder export", False)


@pytest.mark.parametrize("method", LOSSES)
def test_a_training_checkpoint_gives_the_encoder_that_is_trained(tmp_path: Path, method: str) -> None:
    network = small_method(method, build_encoder("resnet18"), features=512).float()
    trained = network.encoder.state_dict()
    torch.save({"format": "x", "network": network.state_dict(), "settings": {"image_size": 64}}, tmp_path / "last.pt")
    encoder, _, settings = open_encoder(tmp_path / "last.pt")
    assert _same(encoder.state_dict(), trained)
    assert settings == {"image_size": 64}


def test_weights_of_others_come_without_settings(tmp_path: Path) -> None:
    torch.save(build_encoder("resnet34", in_channels=3).state_dict(), tmp_path / "resnet34.pth")
    encoder, report, settings = open_encoder(tmp_path / "resnet34.pth")
    assert (encoder.conv1.in_channels, report.architecture, settings) == (3, "2D resnet34", {})


def test_an_architecture_that_is_not_built_here_is_refused(tmp_path: Path) -> None:
    odd = ResNet("basic", [1, 1, 1, 1], [64, 128, 256, 512], spatial_dims=2, feed_forward=False, bias_downsample=False)
    torch.save(odd.state_dict(), tmp_path / "odd.pt")
    with pytest.raises(WeightsError, match="is a 2D resnet10, which is not built here"):
        open_encoder(tmp_path / "odd.pt")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="There is no weights file"):
        open_encoder(tmp_path / "no.pt")


def test_a_published_model_gives_its_encoder_and_the_settings_beside_it(tmp_path: Path) -> None:
    network = SparK(build_encoder("resnet18"), SparKDecoder(32))  # type: ignore[arg-type]
    write_model(tmp_path / "model.pt", network, metadata={"image_size": 96, "method": "SparK"})
    encoder, report, settings = open_encoder(tmp_path / "model.pt")
    assert _same(encoder.state_dict(), network.encoder.state_dict())
    assert (report.layout, settings["image_size"]) == ("SparK training checkpoint", 96)
    write_model(tmp_path / "other.pt", network, metadata={})
    (tmp_path / "other.json").replace(tmp_path / "model.json")
    torch.nn.init.zeros_(network.mask_tokens[0])
    torch.save(network.state_dict(), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="written for other weights"):
        open_encoder(tmp_path / "model.pt")
