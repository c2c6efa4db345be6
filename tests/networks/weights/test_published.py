"""Others' encoders: files of their published form, generated, are loaded or refused with their names."""

import logging
import re

import numpy as np
import pytest
import torch
from monai.networks import nets
from monai.networks.nets.segresnet_ds import SegResEncoder

from monai_ext.errors import WeightsError
from monai_ext.networks import build_encoder
from monai_ext.networks.weights import load_encoder


@pytest.fixture(scope="module")
def plane():
    return build_encoder("resnet18", in_channels=3).state_dict()


def _tensors(*names):
    return {name: torch.zeros(2) for name in names}


def _under(prefix, tensors):
    return {f"{prefix}{name}": value for name, value in tensors.items()}


def test_radimagenet_is_read_under_its_numbers(plane):
    numbers = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    stored = {re.sub(r"^\w+", lambda m: numbers[m[0]], name): value for name, value in plane.items()}
    network = build_encoder("resnet18", in_channels=3)
    assert load_encoder(network, _under("backbone.", stored)).layout == "RadImageNet"
    assert torch.equal(network.layer4[1].conv2.weight, plane["layer4.1.conv2.weight"])


def test_medicalnet_is_read_and_its_dilated_stages_are_told(caplog):
    volume = build_encoder("resnet18", spatial_dims=3).state_dict()
    with caplog.at_level(logging.WARNING):
        report = load_encoder(build_encoder("resnet18", spatial_dims=3), {"state_dict": _under("module.", volume)})
    assert report.layout == "MedicalNet"
    assert "last two stages are dilated (by 2 and 4)" in caplog.text


@pytest.mark.parametrize("classes", [None, 5])
def test_torchvision_and_timm_are_one_layout(plane, classes):
    head = {} if classes is None else {"fc.weight": torch.zeros(classes, 512), "fc.bias": torch.zeros(classes)}
    assert load_encoder(build_encoder("resnet18", in_channels=3), {**plane, **head}).layout == "torchvision"


def _segresencoder():
    return SegResEncoder(spatial_dims=3, init_filters=8, in_channels=1, blocks_down=(1, 1)).state_dict()


def _segresnet():
    return nets.SegResNet(spatial_dims=3, init_filters=8, blocks_down=(1, 1), blocks_up=(1,)).state_dict()


OTHERS = {
    "nnssl": lambda: {"network_weights": _tensors("encoder.stem.convs.0.conv.weight"), "nnssl_adaptation_plan": {}},
    "CT-FM": _segresencoder,
    "CT-FM under a prefix": lambda: _under("encoder.", _segresencoder()),
    "Genesis": lambda: {
        "net": _tensors("module.backbone.down_tr64.ops.0.conv1.weight", "module.backbone.down_tr128.a")
    },
    "Swin UNETR": lambda: {
        "state_dict": _tensors("swinViT.patch_embed.proj.weight", "encoder1.layer.conv1.conv.weight")
    },
    "SegResNet": lambda: {"net": _under("module.backbone.", _segresnet())},
    "vision transformer": lambda: _tensors("patch_embed.proj.weight", "blocks.0.attn.qkv.weight"),
    "folded": lambda: _tensors("conv1.weight", "conv1.bias", "layer1.0.conv1.weight", "layer1.0.conv1.bias"),
}
SENTENCES = {"CT-FM under a prefix": "CT-FM's: a SegResEncoder of MONAI in 3D, for axes SPL"}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_resnet_is_refused_with_what_it_is_and_changes_nothing(name):
    network = build_encoder("resnet18")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(WeightsError, match="Nothing was loaded") as caught:
        load_encoder(network, OTHERS[name]())
    sentence = str(caught.value)
    assert SENTENCES.get(name, name) in sentence
    assert "while encoders here are ResNets; " in sentence
    assert "docs/others_encoders.md" in sentence
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


PLANS = [
    {
        "architecture_plans": {"arch_class_name": "ResEncL"},
        "pretrain_num_input_channels": 1,
        "recommended_downstream_patchsize": [160, 160, 160],
    },
    {"architecture_name": "ResEncL", "num_input_channels": 1, "input_patch_size": (160, 160, 160)},
]


@pytest.mark.parametrize("plan", PLANS)
def test_what_nnssls_plan_says_is_told(plan):
    """As it is written today, and as it was at first."""
    content = OTHERS["nnssl"]() | {"nnssl_adaptation_plan": plan}
    with pytest.raises(WeightsError, match=r"\(its plan names ResEncL, 1 channel, patches of 160 x 160 x 160\)"):
        load_encoder(build_encoder("resnet18"), content)


@pytest.mark.parametrize("plan", [None, 3, {"architecture_plans": [1]}, {"architecture_name": {}}])
def test_a_plan_that_says_it_otherwise_is_no_error_of_its_own(plan):
    with pytest.raises(WeightsError, match=r"Primus transformer in 3D, while encoders here"):
        load_encoder(build_encoder("resnet18"), OTHERS["nnssl"]() | {"nnssl_adaptation_plan": plan})


def test_an_encoder_of_volumes_for_a_network_of_slices_is_refused_by_its_name():
    volume = _under("module.", build_encoder("resnet18", spatial_dims=3).state_dict())
    with pytest.raises(WeightsError, match=r"a 3D encoder \(layout: MedicalNet\) and the network is 2D"):
        load_encoder(build_encoder("resnet18"), {"state_dict": volume})


def test_folded_batch_normalisation_names_the_way_out(tmp_path):
    with pytest.raises(WeightsError, match=r"scripts/convert_folded_resnet18\.py puts batch normalisation back"):
        load_encoder(build_encoder("resnet18"), OTHERS["folded"]())
    for name in ("conv1.weight", "conv1.bias", "layer1.0.conv1.weight"):
        np.save(tmp_path / f"{name}.npy", np.zeros(2))
    with pytest.raises(WeightsError, match=r"arrays \(\.npy\) whose batch normalisation was folded .*convert_folded"):
        load_encoder(build_encoder("resnet18"), tmp_path)


def test_names_that_say_nothing_are_not_called_anybodys():
    with pytest.raises(WeightsError) as caught:
        load_encoder(build_encoder("resnet18"), _tensors("a.weight"))
    assert "By its names" not in str(caught.value)
