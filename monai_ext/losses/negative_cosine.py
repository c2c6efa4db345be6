"""The loss of BYOL: distance of directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

__all__ = ["NegativeCosineSimilarity"]


class NegativeCosineSimilarity(nn.Module):
    r"""Squared distance of unit vectors, :math:`2 - 2 \cos(p, t)`, mean over the batch, summed over directions.

    Equation 2 of Grill et al. 2020 ("Bootstrap Your Own Latent"), and its symmetric form of both views. The result is a
    scalar in float32 (float64 for float64 inputs), whatever the autocast; targets get no gradient. Without negatives
    its minimum says nothing about the features: watch their rank and deviation
    (:class:`~monai_ext.handlers.FeatureMonitor`).

    Args:
        eps: lower bound of the product of norms, so that a vector of zeros gives 2 and no division by zero.

    Raises:
        ValueError: in the call, when the shapes differ or are neither ``(B, D)`` nor ``(V, B, D)``.

    Example:
        >>> first = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> NegativeCosineSimilarity()(first, torch.tensor([[3.0, 0.0], [1.0, 0.0]]))
        tensor(1.)
    """

    def __init__(self, *, eps: float = 1e-8) -> None:
        super().__init__()
        if eps <= 0:
            raise ValueError(f"eps keeps zero vectors from a division by zero and must be above 0; received {eps}.")
        self.eps = eps

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Loss of V directions of B images.

        Args:
            predictions: ``(V, B, D)``, or ``(B, D)`` for one direction.
            targets: what each prediction should point at, of the same shape.
        """
        if predictions.shape != targets.shape or predictions.ndim not in (2, 3):
            raise ValueError(
                f"Predictions and targets must both be (B, D) or (V, B, D); received {tuple(predictions.shape)} and "
                f"{tuple(targets.shape)}."
            )
        with torch.autocast(predictions.device.type, enabled=False):
            wide = torch.promote_types(predictions.dtype, torch.float32)
            cosine = cosine_similarity(predictions.to(wide), targets.detach().to(wide), dim=-1, eps=self.eps)
            return (2 - 2 * cosine).mean(dim=-1).sum()
