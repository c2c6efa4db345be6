"""Mean and deviation of every patch of an image: the units in which masked patches are predicted."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["patch_statistics"]


def patch_statistics(image: Tensor, patch_size: int, *, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Mean and ``sqrt(unbiased variance + eps)`` over all pixels and channels of each patch, repeated to its pixels.

    These are the statistics by which :class:`~monai_ext.losses.MaskedReconstructionLoss` normalises its target:
    ``prediction * deviation + mean`` is a prediction in the units of the image.

    Args:
        image: (B, C, *spatial), every side a multiple of ``patch_size``.
        patch_size: side of a patch in pixels.
        eps: added to the variance.

    Returns:
        Two tensors (B, 1, *spatial).

    >>> mean, deviation = patch_statistics(torch.tensor([[[[1.0, 3.0], [1.0, 3.0]]]]), 2, eps=0.0)
    >>> mean.flatten().tolist(), deviation.square()[0, 0, 0, 0].item()
    ([2.0, 2.0, 2.0, 2.0], 1.3333332538604736)
    """
    batch, channels, *spatial = image.shape
    grid = [size // patch_size for size in spatial]
    split = [part for size in grid for part in (size, patch_size)]
    inside = [1, *range(3, 2 + len(split), 2)]
    patches = image.reshape(batch, channels, *split)
    variance, mean = torch.var_mean(patches, dim=inside, correction=1, keepdim=True)
    shape = (batch, 1, *split)
    deviation = (variance + eps).sqrt()
    return mean.expand(shape).reshape(batch, 1, *spatial), deviation.expand(shape).reshape(batch, 1, *spatial)
