"""Weights of classes for a loss, so that rare ones count."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["class_weights"]


def class_weights(
    labels: Sequence[int],
    *,
    classes: int,
    weights: str | Sequence[float] | None = None,
    device: torch.device | str = "cpu",
) -> Tensor | None:
    """Weights (K,) for ``torch.nn.CrossEntropyLoss``.

    ``"balanced"`` is N / (K N_k) for a class with N_k of N labels: every class has the same weight in all, and the mean
    over the labels is 1 (King and Zeng 2001, "Logistic Regression in Rare Events Data").

    Args:
        labels: of the training set, 0 .. K - 1.
        classes: K.
        weights: None for no weights, ``"balanced"``, or K positive numbers.
        device: of the result.

    Raises:
        ValueError: neither of these, a number of weights other than K, or a class without labels.

    Example:
        >>> class_weights([0, 0, 0, 1], classes=2, weights="balanced")
        tensor([0.6667, 2.0000])
    """
    if weights is None:
        return None
    if isinstance(weights, str):
        if weights != "balanced":
            raise ValueError(f"class_weights are None, 'balanced' or {classes} numbers; received {weights!r}.")
        counts = torch.bincount(torch.as_tensor(labels), minlength=classes)
        if (counts == 0).any():
            raise ValueError(f"Balanced weights need labels of every class; their numbers are {counts.tolist()}.")
        return (len(labels) / (classes * counts)).to(device, torch.float32)
    if len(weights) != classes or min(weights) <= 0:
        raise ValueError(f"class_weights need one positive number for each of {classes} classes; received {weights}.")
    return torch.tensor(list(weights), dtype=torch.float32, device=device)
