"""Cross-entropy in which rare classes can count as much as common ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from monai_ext.losses.class_weights import class_weights

__all__ = ["WeightedCrossEntropy"]


class _Labelled(Protocol):
    labels: Sequence[int]
    class_names: Sequence[str]


class WeightedCrossEntropy(nn.Module):
    """Cross-entropy of logits (B, K) and class numbers (B,), with weights that follow the logits' device.

    Args:
        images: of the training, with ``labels`` and ``class_names``.
        weights: None for equal ones, ``"balanced"``, or K positive numbers; see
            :func:`~monai_ext.losses.class_weights`.

    Raises:
        ValueError: the weights fit neither; or a class without images cannot be balanced.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> loss = WeightedCrossEntropy(SimpleNamespace(labels=[0, 0, 0, 1], class_names=["no", "yes"]), weights=[1, 3])
        >>> round(loss(torch.zeros(2, 2), torch.tensor([0, 1])).item(), 4)
        0.6931
    """

    weight: Tensor | None

    def __init__(self, images: _Labelled, *, weights: str | Sequence[float] | None = None) -> None:
        super().__init__()
        weight = class_weights(images.labels, classes=len(images.class_names), weights=weights)
        self.register_buffer("weight", weight)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over the batch, each image weighted by its class."""
        weight = None if self.weight is None else self.weight.to(logits.device)
        return F.cross_entropy(logits, labels, weight=weight)
