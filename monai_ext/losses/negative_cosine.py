"""The loss of BYOL and SimSiam: distance of directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

__all__ = ["NegativeCosineSimilarity"]


class NegativeCosineSimilarity(nn.Module):
    r"""How far predictions point away from their targets, mean over the batch, in the form of either of two papers.

    ``"distance"`` is the squared distance of unit vectors, :math:`2 - 2 \cos(p, t)`, summed over directions: equation 2
    of Grill et al. 2020 ("Bootstrap Your Own Latent"), and its symmetric form of both views, from 0 (agreement) to 8.
    ``"cosine"`` is :math:`-\cos(p, t)`, mean over directions: equations 1 to 4 of Chen and He 2021 ("Exploring Simple
    Siamese Representation Learning"), from -1 (agreement) to 1. With two directions the first is 4 plus 4 times the
    second, so published learning rates hold for their own form alone.

    The result is a scalar in float32 (float64 for float64 inputs), whatever the autocast; targets get no gradient.
    Without negatives its minimum says nothing about the features: watch their rank and deviation
    (:class:`~monai_ext.handlers.FeatureMonitor`).

    Args:
        form: ``"distance"`` or ``"cosine"``.
        eps: lower bound of the product of norms, so that a vector of zeros has the cosine 0 and no division by zero.

    Raises:
        ValueError: for another form; in the call, when the shapes differ or are neither ``(B, D)`` nor ``(V, B, D)``.

    Example:
        >>> first = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> NegativeCosineSimilarity()(first, torch.tensor([[3.0, 0.0], [1.0, 0.0]]))
        tensor(1.)
        >>> NegativeCosineSimilarity(form="cosine")(first, torch.tensor([[3.0, 0.0], [1.0, 0.0]]))
        tensor(-0.5000)
    """

    def __init__(self, *, form: str = "distance", eps: float = 1e-8) -> None:
        super().__init__()
        if form not in ("distance", "cosine"):
            raise ValueError(
                f"The loss takes the form 'distance', as BYOL's, or 'cosine', as SimSiam's; received {form!r}."
            )
        if eps <= 0:
            raise ValueError(f"eps keeps zero vectors from a division by zero and must be above 0; received {eps}.")
        self.form = form
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
            return -cosine.mean() if self.form == "cosine" else (2 - 2 * cosine).mean(dim=-1).sum()
