"""The masked-reconstruction loss against values worked out by hand and against loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from monai_ext.losses import MaskedReconstructionLoss


def loss_by_loops(prediction: Tensor, image: Tensor, visible: Tensor, p: int, eps: float) -> float:
    """The definition, written patch by patch."""
    errors = []
    for sample in range(len(image)):
        for cell in (~visible[sample, 0]).nonzero().tolist():
            window = (slice(None), *(slice(i * p, i * p + p) for i in cell))
            target = image[sample][window]
            target = (target - target.mean()) / (target.var(unbiased=True) + eps) ** 0.5
            errors.append(((prediction[sample][window] - target) ** 2).mean())
    return float(torch.stack(errors).mean())


def random_case(shape: tuple[int, ...], p: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(shape, generator=generator, dtype=torch.float64)
    image = torch.rand(shape, generator=generator, dtype=torch.float64)
    visible = torch.rand(shape[0], 1, *(size // p for size in shape[2:]), generator=generator) < 0.4
    return prediction, image, visible


def test_one_masked_patch_worked_out_by_hand():
    # The masked patch is 1 2 / 3 4: mean 2.5, unbiased variance 5/3. Predicting zeros leaves the mean of the squared
    # normalised target, which is (n - 1) / n = 3/4 of variance / (variance + eps).
    image = torch.tensor([[[[1.0, 2.0, 9.0, 9.0], [3.0, 4.0, 9.0, 9.0]]]])
    visible = torch.tensor([[[[False, True]]]])
    loss = MaskedReconstructionLoss(2, eps=1 / 3)(torch.zeros(1, 1, 2, 4), image, visible)
    assert loss.item() == pytest.approx(0.75 * (5 / 3) / 2)


def test_without_normalisation_it_is_the_squared_error_in_the_units_of_the_image():
    image = torch.zeros(1, 1, 2, 4)
    prediction = torch.tensor([[[[1.0, 2.0, 100.0, 100.0], [3.0, 4.0, 100.0, 100.0]]]])
    visible = torch.tensor([[[[False, True]]]])
    loss = MaskedReconstructionLoss(2, normalize=False)(prediction, image, visible)
    assert loss.item() == pytest.approx((1 + 4 + 9 + 16) / 4)


@pytest.mark.parametrize("shape", [(3, 1, 8, 12), (2, 3, 8, 8), (2, 1, 8, 4, 12), (2, 2, 4, 8, 8)])
def test_it_equals_the_definition_in_two_and_three_dimensions(shape):
    prediction, image, visible = random_case(shape, 4)
    loss = MaskedReconstructionLoss(4, eps=1e-3)(prediction, image, visible)
    assert loss.item() == pytest.approx(loss_by_loops(prediction, image, visible, 4, 1e-3), rel=1e-12)


def test_visible_patches_count_neither_in_the_loss_nor_in_its_gradient():
    prediction, image, visible = random_case((2, 1, 8, 8), 4)
    prediction.requires_grad_()
    loss_function = MaskedReconstructionLoss(4)
    loss_function(prediction, image, visible).backward()
    seen = visible.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    assert (prediction.grad[seen] == 0).all()
    assert (prediction.grad[~seen] != 0).all()
    altered = loss_function(prediction + 5 * seen, image - 7 * seen, visible)
    assert torch.equal(altered, loss_function(prediction, image, visible))


def test_brightness_and_contrast_of_the_image_do_not_matter():
    prediction, image, visible = random_case((2, 1, 8, 8), 4)
    loss_function = MaskedReconstructionLoss(4, eps=1e-12)
    assert torch.allclose(loss_function(prediction, image, visible), loss_function(prediction, 3 * image - 1, visible))


def test_a_flat_patch_gives_a_finite_loss_and_no_gradient_reaches_the_image():
    image = torch.full((1, 1, 4, 4), 0.25, requires_grad=True)
    prediction = torch.ones(1, 1, 4, 4, requires_grad=True)
    loss = MaskedReconstructionLoss(4)(prediction, image, torch.zeros(1, 1, 1, 1, dtype=torch.bool))
    loss.backward()
    assert loss.item() == pytest.approx(1.0)
    assert image.grad is None


def test_the_loss_is_computed_in_float32_whatever_the_autocast():
    prediction, image, visible = random_case((2, 1, 8, 8), 4)
    prediction, image = prediction.bfloat16(), image.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = MaskedReconstructionLoss(4)(prediction, image, visible)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(loss_by_loops(prediction.float(), image, visible, 4, 1e-6), rel=1e-5)


def test_prediction_and_image_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"one shape; received \(1, 1, 4, 4\) and \(1, 1, 4, 8\)"):
        MaskedReconstructionLoss(4)(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 8), torch.zeros(1, 1, 1, 1).bool())


@pytest.mark.parametrize(
    "visible",
    [torch.zeros(1, 1, 2, 2).bool(), torch.zeros(1, 1, 1, 2), torch.zeros(1, 2).bool(), torch.zeros(2, 1, 1, 2).bool()],
)
def test_a_mask_of_another_shape_or_type_is_refused(visible):
    with pytest.raises(ValueError, match=r"boolean, one value a patch: \(1, 1, 1, 2\)"):
        MaskedReconstructionLoss(4)(torch.zeros(1, 1, 4, 8), torch.zeros(1, 1, 4, 8), visible)


def test_a_size_that_is_no_multiple_of_the_patch_is_refused():
    with pytest.raises(ValueError, match="divisible by the patch size 4"):
        MaskedReconstructionLoss(4)(torch.zeros(1, 1, 4, 6), torch.zeros(1, 1, 4, 6), torch.zeros(1, 1, 1, 1).bool())


def test_a_batch_in_which_nothing_is_masked_is_refused():
    with pytest.raises(ValueError, match="raise masked_fraction"):
        MaskedReconstructionLoss(4)(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 1, 1).bool())


@pytest.mark.parametrize("options", [{"patch_size": 0}, {"eps": 0.0}, {"eps": -1.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="received"):
        MaskedReconstructionLoss(**options)
