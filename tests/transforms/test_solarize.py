"""Solarisation."""

from __future__ import annotations

import pytest
import torch

from monai_ext.transforms import RandSolarize


def test_what_is_at_least_the_threshold_is_inverted() -> None:
    images = torch.tensor([0.0, 0.5, 0.6, 0.7, 1.0]).reshape(1, 1, 1, -1)
    made = RandSolarize(threshold=0.6, probability=1.0)(images)
    assert made.flatten().tolist() == pytest.approx([0, 0.5, 0.4, 0.3, 0])


def test_as_many_images_as_the_probability_says_are_chosen() -> None:
    chosen = RandSolarize().randomize(torch.zeros(4000, 1, 1, 1), generator=torch.Generator().manual_seed(0)).chosen
    assert chosen.float().mean().item() == pytest.approx(0.2, abs=0.02)


def test_a_threshold_beyond_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"threshold is within \[0, 1\], but 1.5"):
        RandSolarize(threshold=1.5)
