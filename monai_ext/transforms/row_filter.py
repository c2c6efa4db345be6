"""Weighted sums of an image's rows, different for every image of a batch: the core of resampling and of blur."""

from __future__ import annotations

import torch
from torch.nn.functional import embedding_bag

__all__ = ["filter_columns", "filter_rows"]


def filter_rows(images: torch.Tensor, positions: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Make every row of the result from K rows of the same image.

    This is a sum over rows of a table, for which PyTorch has a fast kernel on CPU and GPU (``embedding_bag``): no
    intermediate of K times the image's size, no matrix product mostly made of zeros. Rows are summed one after the
    other in float32, hence the result does not depend on the batch, on autocast, or on the precision of products.

    Args:
        images: (B, C, H, W), float32.
        positions: (B, S, K), int64, rows within [0, H).
        weights: (B, S, K), float32.

    Returns:
        (B, C, S, W): row s is the sum over k of ``weights[s, k] * images[positions[s, k]]``.
    """
    batch, channels, height, width = images.shape
    outputs, taps = positions.shape[1:]
    first = torch.arange(batch * channels, device=images.device).mul_(height).view(batch, channels, 1, 1)
    bags = (positions[:, None] + first).view(-1, taps)
    scale = weights[:, None].expand(-1, channels, -1, -1).reshape(-1, taps)
    rows = embedding_bag(bags, images.reshape(-1, width), per_sample_weights=scale, mode="sum")
    return rows.view(batch, channels, outputs, width)


def filter_columns(images: torch.Tensor, positions: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Make every column of the result from K columns: (B, C, H, W) -> (B, C, H, S), see :func:`filter_rows`.

    The result is a transposed view; call ``contiguous`` where rows are needed next.
    """
    return filter_rows(images.mT.contiguous(), positions, weights).mT
