"""Upright views are random views with three steps left out, and nothing else changed."""

import inspect

import torch

from monai_ext.transforms import RandomView, UprightView


def test_it_is_the_random_view_without_rotation_flips_and_noise():
    images = torch.rand(4, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    plain = RandomView(24, scale=[0.1, 0.33], flips=[0.0, 0.0], rotation=None, noise=None)
    views = [
        view(images, generator=torch.Generator().manual_seed(1)) for view in (plain, UprightView(24, scale=[0.1, 0.33]))
    ]
    assert torch.equal(*views)


def test_it_has_all_options_of_the_random_view():
    assert inspect.signature(UprightView).parameters.keys() == inspect.signature(RandomView).parameters.keys()
