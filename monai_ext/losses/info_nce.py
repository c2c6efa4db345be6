"""The loss of MoCo: find the key of a query among negatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

__all__ = ["InfoNCELoss"]


class InfoNCELoss(nn.Module):
    r"""Cross-entropy of picking the own key among it and K negatives, by similarity.

    .. math::
        -\log \frac{\exp(q \cdot k / T)}{\exp(q \cdot k / T) + \sum_j \exp(q \cdot n_j / T)}

    (van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding", equation 4; He et al. 2020,
    "Momentum Contrast", equation 1), mean over the batch. Negatives that are none, since they are of the query's own
    image, are left out of the sum. All vectors are of unit length; keys and negatives get no
    gradient. The result is a scalar in float32 (float64 for float64 inputs), whatever the autocast.

    Args:
        temperature: T; 0.2 in MoCo v2 (Chen et al. 2020), 0.07 in version 1.

    Raises:
        ValueError: when the temperature is not positive; in the call, when the shapes do not fit.

    Example:
        >>> query = torch.tensor([[1.0, 0.0]])
        >>> InfoNCELoss(temperature=1.0)(query, query, torch.tensor([[0.0, 1.0]])).round(decimals=4)
        tensor(0.3133)
    """

    def __init__(self, *, temperature: float = 0.2) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"The temperature divides similarities and must be above 0; received {temperature}.")
        self.temperature = temperature

    def forward(self, queries: Tensor, keys: Tensor, negatives: Tensor, own: Tensor | None = None) -> Tensor:
        """Loss of a batch.

        Args:
            queries: ``(B, D)``.
            keys: the own key of each query, ``(B, D)``.
            negatives: ``(K, D)``, common to all queries.
            own: ``(B, K)`` boolean, True leaves a negative out for that query; None leaves out none.
        """
        fits = queries.ndim == negatives.ndim == 2 and queries.shape == keys.shape
        if not fits or negatives.shape[1] != queries.shape[1]:
            raise ValueError(
                "InfoNCE takes queries and keys (B, D) and negatives (K, D); received "
                f"{tuple(queries.shape)}, {tuple(keys.shape)} and {tuple(negatives.shape)}."
            )
        if own is not None and (own.dtype != torch.bool or own.shape != (len(queries), len(negatives))):
            raise ValueError(
                f"Which negatives are a query's own is a boolean tensor (B, K), here {(len(queries), len(negatives))}; "
                f"received {own.dtype} {tuple(own.shape)}."
            )
        with torch.autocast(queries.device.type, enabled=False):
            wide = torch.promote_types(queries.dtype, torch.float32)
            queries, keys, negatives = queries.to(wide), keys.detach().to(wide), negatives.detach().to(wide)
            positive = (queries * keys).sum(dim=1, keepdim=True)
            similarity = queries @ negatives.T
            if own is not None:
                similarity = similarity.masked_fill(own, -torch.inf)
            logits = torch.cat([positive, similarity], dim=1) / self.temperature
            return cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))
