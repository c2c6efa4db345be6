"""SwAV's prototypes: trainable unit vectors to which embeddings are assigned."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Prototypes"]


class Prototypes(nn.Module):
    """Cosine similarity of unit-length embeddings with K unit-length prototypes; there is no bias.

    The rows are brought back to unit length at the start of each training iteration (Caron et al. 2020, "Unsupervised
    Learning of Visual Features by Contrasting Cluster Assignments", section 3.1 and appendix A): call
    :meth:`normalize` there. In evaluation mode the similarity is taken with normalised rows, whatever their length.

    Args:
        count: K, number of prototypes.
        features: D, length of the embeddings.

    Raises:
        ValueError: when ``count`` is below 2 or ``features`` below 1.

    Example:
        >>> Prototypes(5, features=8)(torch.rand(3, 8)).shape
        torch.Size([3, 5])
    """

    def __init__(self, count: int, *, features: int = 128) -> None:
        super().__init__()
        if count < 2 or features < 1:
            raise ValueError(
                f"Prototypes need a count of at least 2 and features of at least 1; received {count} and {features}."
            )
        self.weight = nn.Parameter(F.normalize(torch.randn(count, features), dim=1))

    @property
    def count(self) -> int:
        """K, number of prototypes."""
        return len(self.weight)

    @torch.no_grad()
    def normalize(self) -> None:
        """Give every prototype unit length, in place."""
        self.weight.copy_(F.normalize(self.weight, dim=1))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores ``(B, K)`` of embeddings ``(B, D)``."""
        weight = self.weight if self.training else F.normalize(self.weight, dim=1)
        return F.linear(embeddings, weight)
