"""Maps and theoretical fields of ResNets, against the networks themselves."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets.resnet import ResNetFeatures
from torch import Tensor, nn

from monai_ext.networks import build_encoder
from monai_ext.networks.stage_maps import STAGES, ReceptiveField, receptive_fields, stage_maps


def test_maps_are_those_of_monais_feature_network() -> None:
    torch.manual_seed(0)
    theirs = ResNetFeatures("resnet50", pretrained=False, spatial_dims=2, in_channels=1).eval()
    images = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        own = stage_maps(theirs, images)
        for name, expected in zip(STAGES, theirs(images), strict=True):
            assert torch.equal(own[name], expected)


@pytest.mark.parametrize(("name", "sides"), [("resnet18", [7, 43, 99, 211, 435]), ("resnet50", [7, 35, 91, 267, 427])])
def test_sides_are_the_known_ones(name: str, sides: list[int]) -> None:
    assert [field.side for field in receptive_fields(build_encoder(name)).values()] == sides


def test_fields_are_where_gradients_of_an_all_positive_network_are() -> None:
    encoder = build_encoder("resnet18", zero_init_last_norm=False).eval().requires_grad_(False)
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 0.01)
    encoder.maxpool = nn.AvgPool2d(3, stride=2, padding=1)  # of the same field, and every pixel counts
    fields = receptive_fields(build_encoder("resnet18"))
    images = torch.rand(1, 1, 256, 256, dtype=torch.float64, requires_grad=True)
    maps = stage_maps(encoder.double(), images)
    for name in STAGES[:3]:
        unit = maps[name].shape[-1] // 2
        (gradient,) = torch.autograd.grad(maps[name][0, :, unit, unit].sum(), images, retain_graph=True)
        places = gradient[0, 0].abs().sum(dim=0).nonzero().ravel()
        assert len(places) == fields[name].side
        assert float(places.double().mean()) == fields[name].first + unit * fields[name].stride


def test_a_dilated_convolution_sees_further() -> None:
    assert ReceptiveField().after(3, 1, 2, 2) == ReceptiveField(5, 1, 0.0)


def test_what_is_no_resnet_is_refused() -> None:
    with pytest.raises(TypeError, match="ResNet"):
        receptive_fields(_Stem())  # type: ignore[arg-type]


class _Stem(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3)
        self.no_max_pool = True

    def forward(self, images: Tensor) -> Tensor:
        return self.conv1(images)
