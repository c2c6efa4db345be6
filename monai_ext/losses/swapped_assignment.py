"""The loss of SwAV: predict the assignment of one view from the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

__all__ = ["SwappedAssignmentLoss"]


class SwappedAssignmentLoss(nn.Module):
    r"""Cross-entropy between the assignment of each global view and the scores of every other view.

    :math:`-\sum_k q_k \log \text{softmax}_k(s / T)` (Caron et al. 2020, equations 1, 2 and 6), mean over the batch, the
    other views and the global views. Assignments get no gradient. The result is a scalar in float32 (float64 for
    float64 inputs), whatever the autocast.

    Args:
        temperature: T.

    Raises:
        ValueError: when the temperature is not positive; in the call, when there are fewer than two views, or more
            assignments than views, or shapes that differ.

    Example:
        >>> scores = [torch.zeros(1, 2), torch.zeros(1, 2)]
        >>> SwappedAssignmentLoss()(scores, [torch.tensor([[1.0, 0.0]])]).round(decimals=4)
        tensor(0.6931)
    """

    def __init__(self, *, temperature: float = 0.1) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"The temperature divides scores and must be above 0; received {temperature}.")
        self.temperature = temperature

    def forward(self, scores: Sequence[Tensor], assignments: Sequence[Tensor]) -> Tensor:
        """Loss of V views.

        Args:
            scores: similarities with the prototypes, V tensors ``(B, K)``, the global views first.
            assignments: of the global views, up to V tensors ``(B, K)`` whose rows sum to one.
        """
        shapes = {tuple(tensor.shape) for tensor in (*scores, *assignments)}
        if len(scores) < 2 or not 1 <= len(assignments) <= len(scores) or len(shapes) != 1:
            raise ValueError(
                f"Swapping takes the scores of at least 2 views and the assignments of 1 to all of them, all (B, K); "
                f"received {len(scores)} scores and {len(assignments)} assignments of shapes {sorted(shapes)}."
            )
        with torch.autocast(scores[0].device.type, enabled=False):
            wide = torch.promote_types(scores[0].dtype, torch.float32)
            log_predictions = [log_softmax(score.to(wide) / self.temperature, dim=1) for score in scores]
            losses = [
                -(assignment.detach().to(wide) * log_predictions[other]).sum(dim=1).mean()
                for view, assignment in enumerate(assignments)
                for other in range(len(scores))
                if other != view
            ]
            return torch.stack(losses).mean()
