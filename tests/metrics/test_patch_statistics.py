import pytest
import torch

from monai_ext.losses import MaskedReconstructionLoss
from monai_ext.metrics import patch_statistics


def test_mean_and_unbiased_deviation_of_a_patch_over_all_channels():
    image = torch.zeros(1, 2, 2, 4)
    image[0, :, :, :2] = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    mean, deviation = patch_statistics(image, 2, eps=0.0)
    assert mean[0, 0, 0].tolist() == [4.5, 4.5, 0.0, 0.0]
    assert deviation[0, 0, 1, 0] == pytest.approx(6.0**0.5)  # squares of +-0.5 .. +-3.5 sum to 42, over 7
    assert mean.shape == deviation.shape == (1, 1, 2, 4)


@pytest.mark.parametrize("spatial", [(4, 6), (4, 2, 6)])
def test_a_prediction_of_the_normalised_truth_has_no_loss(spatial):
    image = torch.rand(2, 2, *spatial)
    mean, deviation = patch_statistics(image, 2, eps=1e-6)
    nothing_visible = torch.zeros(2, 1, *[size // 2 for size in spatial], dtype=torch.bool)
    loss = MaskedReconstructionLoss(2, eps=1e-6)((image - mean) / deviation, image, nothing_visible)
    assert loss < 1e-9


def test_a_flat_patch_has_the_deviation_of_eps():
    _, deviation = patch_statistics(torch.full((1, 1, 2, 2), 0.3), 2, eps=1e-6)
    assert deviation.max() == pytest.approx(1e-3)
