"""Assign embeddings to prototypes so that every prototype gets the same share."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_ext.parallel.processes import all_reduce

__all__ = ["sinkhorn_assignments"]


@torch.no_grad()
def sinkhorn_assignments(scores: Tensor, *, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    r"""Soft assignments under the constraint of an equal partition (Caron et al. 2020, section 3.1, equations 3 to 5).

    The matrix :math:`\exp(s / \epsilon)` is scaled in turns until each prototype has the share 1/K and each sample the
    share 1/B of the whole (Cuturi 2013, "Sinkhorn Distances"). A few turns are enough; the last one is that of the
    samples, so that each row sums to one. Sums run over the samples of all processes: the result is that of one process
    with the joint batch. Computed with logarithms in float32 (float64 for float64 scores), the largest score of each
    sum being subtracted first, so that nothing overflows or vanishes, however small epsilon is.

    Args:
        scores: similarities of embeddings and prototypes, ``(B, K)``; this process's rows.
        epsilon: smoothness; smaller gives harder assignments.
        iterations: turns.

    Returns:
        ``(B, K)``, not negative, rows of sum one, no gradient.

    Raises:
        ValueError: when ``epsilon`` or ``iterations`` is not positive, or ``scores`` is no matrix.

    Example:
        >>> sinkhorn_assignments(torch.tensor([[1.0, 0.9], [1.0, 0.0]])).round(decimals=2)
        tensor([[0.1400, 0.8600],
                [1.0000, 0.0000]])
    """
    if epsilon <= 0 or iterations < 1 or scores.ndim != 2:
        raise ValueError(
            f"Sinkhorn's iterations take scores (B, K), epsilon above 0 and at least 1 iteration; received "
            f"{tuple(scores.shape)}, {epsilon} and {iterations}."
        )
    log_plan = scores.to(torch.promote_types(scores.dtype, torch.float32)) / epsilon
    for _ in range(iterations):  # the shares 1/K and 1/B are the same for all, and rows are to sum to one
        log_plan = log_plan - _log_sum_over_samples(log_plan)
        log_plan = log_plan.log_softmax(dim=1)
    return log_plan.exp()


def _log_sum_over_samples(log_plan: Tensor) -> Tensor:
    """Logarithm of each prototype's sum over the samples of all processes, ``(K,)``."""
    largest = all_reduce(log_plan.amax(dim=0), maximum=True)
    return largest + all_reduce((log_plan - largest).exp().sum(dim=0)).log()
