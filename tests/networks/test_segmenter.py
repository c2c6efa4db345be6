import pytest
import torch
from torch import nn

from monai_ext.networks import build_encoder, build_segmenter, residual_unet


@pytest.fixture
def encoder():
    return build_encoder("resnet18")


@pytest.mark.parametrize("shape", [(32, 32), (64, 96)])
def test_logits_have_the_images_size(encoder, shape):
    assert residual_unet(encoder, classes=3)(torch.rand(2, 1, *shape)).shape == (2, 3, *shape)


def test_the_encoders_parameters_stay_its_own_and_all_of_them_are_used(encoder):
    network = residual_unet(encoder, classes=2)
    own = {id(parameter) for parameter in network.parameters()}
    assert {id(parameter) for parameter in encoder.parameters()} < own
    network(torch.rand(2, 1, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_the_decoder_reads_every_scale(encoder):
    network = residual_unet(encoder, classes=2).eval()
    image = torch.rand(1, 1, 64, 64)
    before = network(image)
    for stage in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4):
        with torch.no_grad():
            stage[-1].bn2.bias.add_(1.0)
        after = network(image)
        assert not torch.allclose(before, after)
        before = after


def test_a_volume_gets_a_volume():
    network = residual_unet(build_encoder("resnet18", spatial_dims=3), classes=2)
    assert network(torch.rand(2, 1, 32, 32, 32)).shape == (2, 2, 32, 32, 32)


def test_the_network_of_a_bundle_is_built_from_three_settings():
    network = build_segmenter("resnet18", in_channels=3, classes=4)
    assert isinstance(network, nn.Sequential)
    assert network[0].in_channels == 3
    assert network[-1].out_channels == 4


def test_one_class_is_refused(encoder):
    with pytest.raises(ValueError, match="at least two classes apart, background included; received 1"):
        residual_unet(encoder, classes=1)
