"""BYOL's own views: asymmetric blur and solarisation, brightness as an offset."""

from __future__ import annotations

import pytest
import torch

from monai_ext.transforms import byol_views


def test_amounts_are_those_of_the_paper() -> None:
    drawn = byol_views(8).randomize(torch.zeros(2000, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    (first_crop, brightness, blur), (second_crop, _, rarely, solarized) = drawn
    assert blur.chosen.all()
    for chosen, probability in ((brightness.chosen, 0.8), (rarely.chosen, 0.1), (solarized.chosen, 0.2)):
        assert chosen.float().mean().item() == pytest.approx(probability, abs=0.03)
    assert (brightness.brightness == 1).all()
    assert 0.38 < brightness.offset.abs().max() <= 0.4
    for crop in (first_crop, second_crop):
        assert crop.boxes[:, 2:].prod(dim=1).min() < 0.1 * 64
        assert not crop.flip_vertical.any()
        assert (crop.degrees == 0).all()


def test_options_are_those_of_both_views() -> None:
    views = byol_views(8, scale=[1, 1], ratio=[1, 1], flips=[0, 0], intensity=None, blur=None, solarize=None)
    images = torch.rand(3, 1, 8, 8)
    for view in views(images):
        torch.testing.assert_close(view, images)


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(ValueError, match="no option 'degree' of 'rotation'"):
        byol_views(8, rotation={"degree": 3})
