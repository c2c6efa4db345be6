"""Batches of views that cannot be compared are refused in a sentence."""

from __future__ import annotations

import pytest
import torch
from monai.networks import nets
from torch import Tensor

from monai_ext.networks.view_checks import check_views, fault_of_bf16
from monai_ext.parallel.devices import Precision
from monai_ext.transforms import MultiView, RandomView


def batches(*sizes: int) -> list[Tensor]:
    return [torch.zeros(size, 1, 4, 4) for size in sizes]


@pytest.mark.parametrize("views", [batches(2, 2), tuple(batches(3, 3, 3)), [torch.zeros(2, 1, 8, 8), *batches(2)]])
def test_views_of_one_batch_pass_whatever_their_size(views):
    check_views(views, method="SwAV", training=True)


def test_one_image_passes_in_evaluation():
    check_views(batches(1, 1), method="BYOL", training=False, exactly=2)


def test_a_tensor_in_place_of_a_list_is_refused():
    with pytest.raises(TypeError, match=r"takes a list of tensors.*one tensor of shape \(2, 1, 4, 4\).*MultiView"):
        check_views(batches(2)[0], method="BYOL", training=True)


def test_one_image_is_refused_in_training():
    with pytest.raises(ValueError, match=r"BYOL is trained on at least 2 images.*received 1. Use a larger batch_size"):
        check_views(batches(1, 1), method="BYOL", training=True)


@pytest.mark.parametrize("training", [True, False])
def test_an_empty_batch_and_views_of_other_batches_are_refused(training):
    with pytest.raises(ValueError, match=r"one batch of images; received views of \[2, 3\] images"):
        check_views(batches(2, 3), method="BYOL", training=training)
    with pytest.raises(ValueError, match="received 0"):
        check_views(batches(0, 0), method="BYOL", training=training)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({"exactly": 2}, "exactly 2"), ({"at_least": 4}, "at least 4"), ({"exactly": 4}, "exactly 4")],
)
def test_another_number_of_views_is_refused(options, wanted):
    with pytest.raises(ValueError, match=f"takes {wanted} views of each image; received 3"):
        check_views(batches(2, 2, 2), method="BYOL", training=True, **options)


def test_views_of_one_pixel_before_the_last_stride_are_not_trained_on_in_bf16_on_a_cpu():
    encoder = nets.resnet18(spatial_dims=2, n_input_channels=1, conv1_t_stride=2, bias_downsample=False)
    small, enough = ([torch.zeros(2, 1, side, side)] * 2 for side in (16, 17))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with pytest.raises(
            ValueError, match=r"BYOL was to be trained in bf16, but .* of 16 pixels \(more than 16.*--precision fp32"
        ):
            check_views(small, method="BYOL", training=True, encoder=encoder)
        check_views(enough, method="BYOL", training=True, encoder=encoder)
        check_views(small, method="BYOL", training=False, encoder=encoder)
    check_views(small, method="BYOL", training=True, encoder=encoder)


@pytest.mark.parametrize(("side", "precision"), [(16, "fp32"), (17, "bf16")])
def test_precision_that_is_left_to_auto_is_fp32_where_views_are_too_small_for_bf16_on_a_cpu(
    side, precision, monkeypatch, caplog
):
    caplog.set_level("INFO")
    monkeypatch.setattr("monai_ext.parallel.devices._bf16_of", lambda device: (True, "it has bf16", None))
    network = torch.nn.Module()
    network.encoder = nets.resnet18(spatial_dims=2, n_input_channels=1, conv1_t_stride=2, bias_downsample=False)
    views = MultiView({"global": RandomView(32, scale=[0.9, 1.0]), "local": RandomView(side, scale=[0.1, 0.3])})
    fault = fault_of_bf16(network, views)
    assert Precision("auto", device=torch.device("cpu"), fault_on_cpu=fault).name == precision
    assert ("images of 16 pixels" in caplog.text) == (side == 16)
    assert Precision("auto", device=torch.device("meta"), fault_on_cpu=fault).fault is None
    assert fault_of_bf16(network, None) is None
