"""Masking and reconstructing a batch."""

from __future__ import annotations

import torch

from helpers.small_training import SmallPainter, small_images
from monai_ext.inferers import MaskedImageInferer


def test_it_gives_what_the_loss_takes():
    torch.manual_seed(0)
    images, network = torch.stack(small_images(3)), SmallPainter(dropout=0.0)
    prediction, target, visible = MaskedImageInferer()(images, network)
    assert target is images
    assert visible.dtype == torch.bool
    assert torch.equal(prediction, network(images, visible))


def test_masks_follow_the_global_stream_unless_a_generator_is_given():
    images, network = torch.stack(small_images(3)), SmallPainter()
    torch.manual_seed(5)
    expected = network.draw_visible(images)
    torch.manual_seed(5)
    assert torch.equal(MaskedImageInferer()(images, network)[2], expected)
    expected = network.draw_visible(images, torch.Generator().manual_seed(7))
    drawn = MaskedImageInferer()(images, network, generator=torch.Generator().manual_seed(7))[2]
    assert torch.equal(drawn, expected)
