import monai
import pytest
import torch
from torch import nn

from monai_ext.networks import build_encoder
from monai_ext.networks.weights.adaptation import adaptation_plan


@pytest.mark.parametrize(("name", "dims", "channels"), [("resnet18", 2, 1), ("resnet50", 2, 3), ("resnet18", 3, 1)])
def test_three_lines_of_monai_load_the_encoder(name, dims, channels, tmp_path):
    encoder = build_encoder(name, spatial_dims=dims, in_channels=channels).eval()
    plan = adaptation_plan(encoder, {"image_size": 64, "window": "lung"})
    torch.save({"state_dict": encoder.state_dict(), "metadata": {"adaptation_plan": plan}}, tmp_path / "encoder.pt")

    file = torch.load(tmp_path / "encoder.pt", weights_only=True)
    network = file["metadata"]["adaptation_plan"]["network"]
    loaded = getattr(monai.networks.nets, network["name"])(**network["arguments"])
    loaded.load_state_dict(file["state_dict"])

    image = torch.rand(1, channels, *(32,) * dims)
    with torch.no_grad():
        assert torch.equal(loaded.eval()(image), encoder(image))


def test_the_input_is_that_of_the_training():
    plan = adaptation_plan(
        build_encoder("resnet18"), {"image_size": 224, "window": ["lung", [40, 80]], "modality": "CT"}
    )
    assert plan["input"] == {
        "channels": 1,
        "spatial_dims": 2,
        "image_size": 224,
        "modality": "CT",
        "window_hu": [[-1350.0, 150.0], [0.0, 80.0]],
        "range": [0.0, 1.0],
        "normalisation": "none",
    }


def test_of_volumes_it_says_their_spacing_and_where_their_axes_point():
    settings = {"image_size": 96, "window": "full", "spacing_mm": [1.5, 1.5, 1.5], "axes": "SPL"}
    plan = adaptation_plan(build_encoder("resnet18", spatial_dims=3), settings)
    assert plan["network"]["arguments"]["spatial_dims"] == plan["input"]["spatial_dims"] == 3
    assert (plan["input"]["spacing_mm"], plan["input"]["axes"]) == ([1.5, 1.5, 1.5], "SPL")


def test_an_encoder_of_mr_says_so_and_names_no_hounsfield_units():
    plan = adaptation_plan(build_encoder("resnet18"), {"window": "percentiles"})
    assert (plan["input"]["modality"], plan["input"]["window_hu"]) == ("MR", [])


def test_an_architecture_without_a_name_has_no_network():
    plan = adaptation_plan(nn.Sequential(nn.Conv2d(1, 8, 3)), {})
    assert plan["network"] is None
    assert plan["input"]["window_hu"] == []
