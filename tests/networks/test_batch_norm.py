"""Split batch norm: each group is normalised as if it were alone, and nothing of it reaches another group."""

from __future__ import annotations

import sys

import pytest
import torch
from monai.networks.nets import resnet18
from torch import Tensor, nn

from monai_ext.networks import SplitBatchNorm, split_batch_norm, synchronize_batch_norm

every_kind = pytest.mark.parametrize(
    ("kind", "spatial"), [(nn.BatchNorm1d, ()), (nn.BatchNorm2d, (3, 2)), (nn.BatchNorm3d, (2, 1, 3))]
)


def random_batch(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def ordinary(kind: type[nn.Module], **options: float | None) -> nn.Module:
    """Batch norm of two channels with a scale and shift of its own."""
    norm = kind(2, **options).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, 0.5]))
        norm.bias.copy_(torch.tensor([1.0, -1.0]))
    return norm


@every_kind
def test_each_group_equals_ordinary_batch_norm_on_it_alone(kind, spatial):
    batch = random_batch(7, 2, *spatial).requires_grad_()
    weights = random_batch(7, 2, *spatial, seed=1)
    output = split_batch_norm(ordinary(kind), groups=3)(batch)
    (gradient,) = torch.autograd.grad((output * weights).sum(), batch)
    for group in (slice(0, 3), slice(3, 5), slice(5, 7)):
        alone = batch[group].detach().requires_grad_()
        expected = ordinary(kind)(alone)
        (expected_gradient,) = torch.autograd.grad((expected * weights[group]).sum(), alone)
        torch.testing.assert_close(output[group], expected)
        torch.testing.assert_close(gradient[group], expected_gradient)


@every_kind
def test_another_second_group_changes_nothing_of_the_first(kind, spatial):
    results = []
    for seed in (1, 2):
        batch = torch.cat([random_batch(3, 2, *spatial), random_batch(3, 2, *spatial, seed=seed)]).requires_grad_()
        output = split_batch_norm(ordinary(kind), groups=2)(batch)
        (gradient,) = torch.autograd.grad((output * random_batch(6, 2, *spatial, seed=3)).sum(), batch)
        results.append((output[:3], gradient[:3], output[3:]))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.allclose(results[0][2], results[1][2])


def test_no_gradient_of_one_group_reaches_the_images_of_another():
    batch = random_batch(6, 2, 3, 3).requires_grad_()
    output = split_batch_norm(ordinary(nn.BatchNorm2d), groups=2)(batch)
    (gradient,) = torch.autograd.grad(output[:3].pow(3).sum(), batch)
    assert gradient[:3].abs().min() > 0
    assert torch.equal(gradient[3:], torch.zeros_like(gradient[3:]))


def test_running_statistics_follow_the_mean_over_the_groups():
    norm = split_batch_norm(nn.BatchNorm1d(1).double(), groups=2)
    norm(torch.tensor([[0.0], [2.0], [10.0], [14.0]], dtype=torch.float64))
    # means 1 and 12, unbiased variances 2 and 8; a tenth of 6.5, and of 5 beside nine tenths of 1
    assert norm.running_mean.item() == pytest.approx(0.65)
    assert norm.running_var.item() == pytest.approx(1.4)
    assert norm.num_batches_tracked.item() == 1


def test_without_momentum_running_statistics_are_the_mean_over_the_batches():
    norm = split_batch_norm(nn.BatchNorm1d(1, momentum=None).double(), groups=2)
    for shift in (0.0, 4.0):
        norm(torch.tensor([[0.0], [2.0], [10.0], [14.0]], dtype=torch.float64) + shift)
    assert (norm.running_mean.item(), norm.running_var.item()) == pytest.approx((8.5, 5.0))


def test_evaluation_is_that_of_ordinary_batch_norm():
    norm, plain = split_batch_norm(ordinary(nn.BatchNorm2d), groups=2), ordinary(nn.BatchNorm2d)
    norm(random_batch(6, 2, 3, 3))
    plain.load_state_dict(norm.state_dict())
    batch = random_batch(1, 2, 3, 3, seed=1)
    assert torch.equal(norm.eval()(batch), plain.eval()(batch))


def test_the_weights_of_a_network_keep_their_names_and_identity():
    network = resnet18(spatial_dims=2, n_input_channels=1, num_classes=2)
    before = {name: value.data_ptr() for name, value in network.state_dict().items()}
    network.eval()
    split = split_batch_norm(network, groups=2)
    assert split is network
    assert {name: value.data_ptr() for name, value in split.state_dict().items()} == before
    norms = [module for module in split.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 20
    assert all(isinstance(norm, SplitBatchNorm) and not norm.training for norm in norms)


def test_synchronising_leaves_split_norms_as_they_are():
    network = nn.Sequential(split_batch_norm(nn.BatchNorm1d(2), groups=2), nn.BatchNorm1d(2))
    kinds = [type(module).__name__ for module in synchronize_batch_norm(network)]
    assert kinds == ["SplitBatchNorm", "SynchronizedBatchNorm"]


def test_groups_are_counted_over_all_processes(monkeypatch):
    monkeypatch.setattr(sys.modules[SplitBatchNorm.__module__], "process_count", lambda: 2)
    norm, batch = split_batch_norm(ordinary(nn.BatchNorm1d), groups=4), random_batch(4, 2)
    expected = torch.cat([ordinary(nn.BatchNorm1d)(part) for part in batch.chunk(2)])
    torch.testing.assert_close(norm(batch), expected)
    with pytest.raises(ValueError, match="2 processes cannot be normalised in 3 groups: each process takes an equal"):
        split_batch_norm(nn.BatchNorm1d(2), groups=3)(random_batch(8, 2).float())


def test_a_group_of_one_image_is_refused_in_training_only():
    norm = split_batch_norm(nn.BatchNorm1d(2), groups=4)
    with pytest.raises(ValueError, match=r"batch of 7 images.*4 groups.*at least 2 images. Use a larger batch_size or"):
        norm(torch.rand(7, 2))
    assert norm.eval()(torch.rand(7, 2)).shape == (7, 2)


@pytest.mark.parametrize("training", [True, False])
def test_other_numbers_of_channels_are_refused(training):
    with pytest.raises(ValueError, match=r"Expected \(N, 2, ...\)"):
        split_batch_norm(nn.BatchNorm2d(2), groups=1).train(training)(torch.rand(4, 3, 2, 2))


def test_no_groups_are_refused():
    with pytest.raises(ValueError, match="at least 1 group; received groups=0"):
        split_batch_norm(nn.BatchNorm1d(2), groups=0)


@pytest.mark.parametrize("option", ["affine", "track_running_stats"])
def test_batch_norm_that_has_no_parameters_to_take_over_is_refused(option):
    with pytest.raises(ValueError, match="needs affine=True and track_running_stats=True"):
        split_batch_norm(nn.Sequential(nn.BatchNorm1d(2, **{option: False})), groups=2)
