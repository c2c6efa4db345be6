"""Where a fine-tuning starts from, and what is written down about it."""

import hashlib

import pytest
import torch
from monai.networks.nets import resnet18

from monai_ext.errors import WeightsError
from monai_ext.networks import build_encoder, residual_unet, start_from


@pytest.fixture(scope="module")
def encoder():
    return build_encoder("resnet18")


def _classifier(channels=1, classes=2):
    return resnet18(
        spatial_dims=2, n_input_channels=channels, num_classes=classes, conv1_t_stride=2, bias_downsample=False
    )


def test_without_an_encoder_the_network_stays_as_it_was():
    network = _classifier()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    start = start_from(network)
    assert start.network is network
    assert (start.pretrained, start.run_id, start.lineage) == (False, None, {"pretrained": "none"})
    assert start.name == "scratch"
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_an_export_gives_the_encoder_and_its_lineage(encoder, tmp_path):
    metadata = {"monai_ext_version": "0.1.0", "method": "MoCo", "images_seen": 7, "mlflow_run_id": "abc"}
    torch.save({"state_dict": encoder.state_dict(), "metadata": metadata}, tmp_path / "encoder.pt")
    network = _classifier()
    head = network.fc.weight.detach().clone()
    start = start_from(network, pretrained=str(tmp_path / "encoder.pt"))
    assert torch.equal(network.layer3[0].conv1.weight, encoder.layer3[0].conv1.weight)
    assert torch.equal(network.fc.weight, head)
    assert (start.pretrained, start.run_id) == (True, "abc")
    assert start.lineage["pretrained_method"] == start.name == "MoCo"
    assert start.lineage["pretrained_images_seen"] == 7
    expected = hashlib.sha256((tmp_path / "encoder.pt").read_bytes()).hexdigest()
    assert start.lineage["pretrained_sha256"] == expected


def test_a_head_of_the_same_size_in_the_file_is_not_taken_over(tmp_path):
    torch.save(_classifier().state_dict(), tmp_path / "classifier.pth")
    network = _classifier()
    head = network.fc.weight.detach().clone()
    start_from(network, pretrained=str(tmp_path / "classifier.pth"))
    assert torch.equal(network.fc.weight, head)


def test_an_encoder_of_three_channels_fits_a_classifier_of_one(tmp_path):
    colour = build_encoder("resnet18", in_channels=3)
    torch.save(colour.state_dict(), tmp_path / "encoder.pth")
    network = _classifier()
    start_from(network, pretrained=str(tmp_path / "encoder.pth"))
    assert torch.allclose(network.conv1.weight, colour.conv1.weight.sum(dim=1, keepdim=True), atol=1e-6)


def test_an_encoder_of_one_channel_fits_a_classifier_of_three(encoder, tmp_path):
    torch.save(encoder.state_dict(), tmp_path / "encoder.pth")
    network = _classifier(channels=3)
    start_from(network, pretrained=str(tmp_path / "encoder.pth"))
    assert torch.allclose(network.conv1.weight.sum(dim=1, keepdim=True), encoder.conv1.weight, atol=1e-6)


def test_anything_but_the_head_missing_is_an_error(encoder, tmp_path):
    weights = {name: value for name, value in encoder.state_dict().items() if not name.startswith("layer4.1.bn2")}
    torch.save(weights, tmp_path / "encoder.pth")
    with pytest.raises(WeightsError, match=r"missing in the file: layer4\.1\.bn2"):
        start_from(_classifier(), pretrained=str(tmp_path / "encoder.pth"))


def test_a_run_of_mlflow_is_named_by_its_id(encoder, tmp_path, monkeypatch):
    torch.save(encoder.state_dict(), tmp_path / "encoder.pt")
    monkeypatch.setattr("monai_ext.networks.weights.files._download", lambda uri, folder: tmp_path / "encoder.pt")
    start = start_from(_classifier(), pretrained="runs:/3f0c/encoder")
    assert start.run_id == "3f0c"
    assert start.lineage["pretrained_run_id"] == "3f0c"
    assert start.lineage["pretrained_sha256"] is None


def test_the_encoder_of_a_segmentation_network_is_loaded_in_its_place(encoder, tmp_path):
    torch.save(encoder.state_dict(), tmp_path / "encoder.pt")
    own = build_encoder("resnet18")
    network = residual_unet(own, classes=2)
    decoder = {name: value.clone() for name, value in network.state_dict().items() if "deconv" in name}
    start = start_from(network, pretrained=str(tmp_path / "encoder.pt"), encoder=own)
    assert start.network is network
    assert start.pretrained
    assert torch.equal(network[0].weight, encoder.conv1.weight)
    assert all(torch.equal(own.state_dict()[name], value) for name, value in encoder.state_dict().items())
    assert decoder
    assert all(torch.equal(network.state_dict()[name], value) for name, value in decoder.items())
