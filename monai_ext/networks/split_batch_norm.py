"""Batch normalisation in groups of the batch, as if each group were on a device of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_ext.networks.batch_norm import OwnStatisticsBatchNorm, take_over
from monai_ext.parallel.processes import all_reduce, process_count

__all__ = ["SplitBatchNorm", "split_batch_norm"]


class SplitBatchNorm(OwnStatisticsBatchNorm):
    """Batch normalisation whose statistics come from the own group of consecutive samples only.

    MoCo needs it: with common statistics a query could find its key by the statistics of the batch that both were in,
    without learning anything (He et al. 2020, section 3.3). The groups are counted over all processes; none of them is
    normalised with another's statistics. Running statistics follow the mean over all groups, the same in all processes.
    In evaluation mode it is ordinary batch normalisation. Accepts ``(N, C, ...)``.

    Args:
        num_features: C.
        groups: number of groups in the joint batch.
        eps: added to the variance.
        momentum: share of a batch in the running statistics.
    """

    def __init__(self, num_features: int, *, groups: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each group by itself."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        parts = input.tensor_split(self._own_groups(len(input)))
        # A momentum of 1 leaves the statistics of this very group in the buffers.
        means = [torch.empty_like(self.running_mean) for _ in parts]  # type: ignore[arg-type]
        variances = [torch.empty_like(mean) for mean in means]
        outputs = [
            F.batch_norm(part, mean.zero_(), variance.zero_(), self.weight, self.bias, True, 1.0, self.eps)
            for part, mean, variance in zip(parts, means, variances, strict=True)
        ]
        own = torch.stack([torch.stack(means).mean(0), torch.stack(variances).mean(0)])
        self._update_running_statistics(*(all_reduce(own) / process_count()))
        return torch.cat(outputs)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, groups={self.groups}"

    def _own_groups(self, samples: int) -> int:
        own, rest = divmod(self.groups, process_count())
        if rest or samples < 2 * own:
            raise ValueError(
                f"A batch of {samples} images in each of {process_count()} processes cannot be normalised in "
                f"{self.groups} groups: each process takes an equal number of groups, and each group at least 2 "
                "images. Use a larger batch_size or fewer groups."
            )
        return own


def split_batch_norm(module: nn.Module, *, groups: int) -> nn.Module:
    """Replace every batch normalisation inside ``module`` by a :class:`SplitBatchNorm` of the same parameters.

    Parameters and buffers are taken over, not copied, and the keys of ``state_dict`` stay the same. Distributed
    training leaves these layers as they are and synchronises the others.

    Returns:
        ``module``, or its replacement when it is a batch normalisation itself.

    Raises:
        ValueError: when ``groups`` is below 1, or a batch normalisation has no scale, shift or running statistics.
    """
    if groups < 1:
        raise ValueError(f"A batch is normalised in at least 1 group; received groups={groups}.")
    if isinstance(module, _BatchNorm):
        return _replace(module, groups)
    for name, child in module.named_children():
        setattr(module, name, split_batch_norm(child, groups=groups))
    return module


def _replace(module: _BatchNorm, groups: int) -> nn.Module:
    if not module.affine or not module.track_running_stats:
        raise ValueError(f"{module} cannot be split: it needs affine=True and track_running_stats=True.")
    replacement = SplitBatchNorm(module.num_features, groups=groups, eps=module.eps, momentum=module.momentum)
    return take_over(module, replacement)
