"""Weighted sums of rows and columns."""

from __future__ import annotations

import torch

from monai_ext.transforms.row_filter import filter_columns, filter_rows


def _random_filter(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randint(length, (3, 5, 4)), torch.rand(3, 5, 4)


def test_every_row_is_the_weighted_sum_of_its_rows() -> None:
    images, (positions, weights) = torch.rand(3, 2, 7, 6), _random_filter(7)
    filtered = filter_rows(images, positions, weights)
    assert filtered.shape == (3, 2, 5, 6)
    for sample in range(3):
        for row in range(5):
            taken = images[sample][:, positions[sample, row]]  # (C, K, W)
            expected = (taken.double() * weights[sample, row].double()[:, None]).sum(dim=1)
            torch.testing.assert_close(filtered[sample, :, row].double(), expected)


def test_columns_are_rows_of_the_transposed_image() -> None:
    images, (positions, weights) = torch.rand(3, 2, 6, 7), _random_filter(7)
    expected = filter_rows(images.transpose(2, 3).contiguous(), positions, weights).transpose(2, 3)
    assert torch.equal(filter_columns(images, positions, weights), expected)


def test_images_in_channels_last_memory_give_the_same() -> None:
    images, (positions, weights) = torch.rand(3, 2, 7, 6), _random_filter(7)
    in_other_order = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(filter_rows(in_other_order, positions, weights), filter_rows(images, positions, weights))
