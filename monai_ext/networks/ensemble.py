"""Several classifiers as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["ProbabilityEnsemble"]


class ProbabilityEnsemble(nn.Module):
    """The mean of the probabilities of classifiers, such as the models of several folds.

    Given as its logarithm, so that softmax makes the mean of it again: ``log(mean_i softmax(f_i(x)))``. One network
    gives its own probabilities.

    Args:
        networks: each gives logits (B, K) of images (B, C, H, W).

    Example:
        >>> mean = ProbabilityEnsemble([nn.Identity(), nn.Identity()])
        >>> mean(torch.tensor([[0.0, 0.0]])).softmax(dim=1)
        tensor([[0.5000, 0.5000]])
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        """Logarithms of the mean probabilities, (B, K)."""
        logs = torch.stack([network(images).float().log_softmax(dim=1) for network in self.networks])
        return logs.logsumexp(dim=0) - math.log(len(self.networks))
