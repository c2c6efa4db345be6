"""White noise."""

from __future__ import annotations

import pytest
import torch

from monai_ext.transforms import RandWhiteNoise, WhiteNoise


def _noise(deviations: list[float], seeds: list[int], *, size: int = 64) -> torch.Tensor:
    parameters = WhiteNoise(
        torch.tensor([True] * len(seeds)), torch.tensor(deviations, dtype=torch.float64), torch.tensor(seeds)
    )
    gray = torch.full((len(seeds), 1, size, size), 0.5)
    return RandWhiteNoise().apply(gray, parameters) - gray


def test_noise_has_no_mean_and_the_deviation_that_was_drawn() -> None:
    noise = _noise([0.05, 0.1], [1, 2], size=128)
    assert noise.mean(dim=(1, 2, 3)).abs().max() < 0.005
    assert noise.std(dim=(1, 2, 3)).tolist() == pytest.approx([0.05, 0.1], rel=0.03)


def test_the_seed_decides_on_the_noise() -> None:
    first, second, other = _noise([0.1, 0.1, 0.1], [7, 7, 8])
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_neighbouring_pixels_are_independent() -> None:
    noise = _noise([0.1], [3], size=128)[0, 0]
    assert torch.corrcoef(torch.stack([noise[:, :-1].flatten(), noise[:, 1:].flatten()]))[0, 1].abs() < 0.03


def test_deviations_reach_up_to_the_largest_one() -> None:
    drawn = RandWhiteNoise(deviation=0.2).randomize(torch.zeros(2000, 1, 1, 1)).deviation
    assert drawn.min() >= 0
    assert 0.199 < drawn.max() <= 0.2


def test_deviations_are_the_studys_by_default_and_log_uniform_in_a_range() -> None:
    drawn = RandWhiteNoise().randomize(torch.zeros(4000, 1, 1, 1), generator=torch.Generator().manual_seed(0)).deviation
    assert 0.00316 <= drawn.min() < 0.0032
    assert 0.0099 < drawn.max() <= 0.01
    assert drawn.log10().mean().item() == pytest.approx(-2.25, abs=0.01)  # the middle of 10 ** -2.5 and 10 ** -2


def test_a_range_of_deviations_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="deviation is a pair of positive numbers, smallest first"):
        RandWhiteNoise(deviation=[0.2, 0.1])


def test_a_negative_deviation_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more, but -1 was given"):
        RandWhiteNoise(deviation=-1)
