"""Batch normalisation over parts of the batch, or over the joint batch of all processes, on every kind of device."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_ext.parallel.processes import all_reduce, process_count

__all__ = ["SplitBatchNorm", "SynchronizedBatchNorm", "split_batch_norm", "synchronize_batch_norm"]


class _OwnStatisticsBatchNorm(_BatchNorm):
    """Base of batch normalisations that compute their statistics themselves; accepts ``(N, C, ...)``."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2 or input.shape[1] != self.num_features:
            raise ValueError(
                f"Expected (N, {self.num_features}, ...) for batch normalisation, got {tuple(input.shape)}."
            )

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        factor = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
        self.running_var.lerp_(unbiased_variance.to(self.running_var.dtype), factor)


class SplitBatchNorm(_OwnStatisticsBatchNorm):
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
        return _split(module, groups)
    for name, child in module.named_children():
        setattr(module, name, split_batch_norm(child, groups=groups))
    return module


def _split(module: _BatchNorm, groups: int) -> nn.Module:
    if not module.affine or not module.track_running_stats:
        raise ValueError(f"{module} cannot be split: it needs affine=True and track_running_stats=True.")
    replacement = SplitBatchNorm(module.num_features, groups=groups, eps=module.eps, momentum=module.momentum)
    return _take_over(module, replacement)


class SynchronizedBatchNorm(_OwnStatisticsBatchNorm):
    """Batch normalisation whose statistics come from all processes (Ioffe and Szegedy, 2015, over the joint batch).

    torch's own ``SyncBatchNorm`` refuses CPU tensors; this one gives the same numbers over any backend of
    ``torch.distributed``, and counts positions, so that processes may hold different numbers of visible patches.
    Without a process group, or in evaluation mode, it is ordinary batch normalisation. Accepts ``(N, C, ...)``.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and process_count() > 1):
            return super().forward(input)
        self._check_input_dim(input)
        output, mean, variance, count = _SynchronizedNormalization.apply(input, self.weight, self.bias, self.eps)
        self._update_running_statistics(mean, variance * count / (count - 1).clamp(min=1))
        return output


class _SynchronizedNormalization(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes = [dim for dim in range(x.ndim) if dim != 1]
        values = x.to(weight.dtype)
        count = torch.tensor([float(x.numel() // x.shape[1])], dtype=weight.dtype, device=x.device)
        total = torch.cat([values.sum(axes), count])
        dist.all_reduce(total)
        count, mean = total[-1], total[:-1] / total[-1]
        centred = values - _along_channels(mean, x)
        squares = centred.square().sum(axes)  # around the joint mean: no cancellation
        dist.all_reduce(squares)
        variance = squares / count
        inverse_deviation = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, inverse_deviation, count)
        ctx.mark_non_differentiable(mean, variance, count)
        output = centred.mul_(_along_channels(inverse_deviation * weight, x)).add_(_along_channels(bias, x))
        return output.to(x.dtype), mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse_deviation, count = ctx.saved_tensors
        axes = [dim for dim in range(x.ndim) if dim != 1]
        gradient = gradients[0].to(weight.dtype)
        normalized = (x.to(weight.dtype) - _along_channels(mean, x)).mul_(_along_channels(inverse_deviation, x))
        weight_gradient, bias_gradient = (gradient * normalized).sum(axes), gradient.sum(axes)
        joint = torch.stack([weight_gradient, bias_gradient])
        dist.all_reduce(joint)  # the parameters' own gradients stay local: DDP averages them
        joint = joint / count
        projected = gradient - _along_channels(joint[1], x) - normalized.mul_(_along_channels(joint[0], x))
        return (
            projected.mul_(_along_channels(inverse_deviation * weight, x)).to(x.dtype),
            weight_gradient,
            bias_gradient,
            None,
        )


def _along_channels(values: Tensor, like: Tensor) -> Tensor:
    return values.view(1, -1, *(1,) * (like.ndim - 2))


def synchronize_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every batch normalisation inside ``module`` by a :class:`SynchronizedBatchNorm` of the same parameters.

    The parameters and buffers are taken over, not copied, and the keys of ``state_dict`` stay the same. A
    :class:`~monai_ext.networks.SplitBatchNorm`, whose groups must not know each other, stays as it is.

    Returns:
        ``module``, or its replacement when it is a batch normalisation itself.

    Raises:
        ValueError: When a batch normalisation has no scale and shift (``affine=False``).
    """
    if isinstance(module, _BatchNorm) and not isinstance(module, (SynchronizedBatchNorm, SplitBatchNorm)):
        return _synchronize(module)
    for name, child in module.named_children():
        setattr(module, name, synchronize_batch_norm(child))
    return module


def _synchronize(module: _BatchNorm) -> nn.Module:
    if not module.affine:
        raise ValueError(f"{module} has no scale and shift; synchronised batch normalisation needs affine=True.")
    replacement = SynchronizedBatchNorm(
        module.num_features, eps=module.eps, momentum=module.momentum, track_running_stats=module.track_running_stats
    )
    return _take_over(module, replacement)


def _take_over(module: _BatchNorm, replacement: _BatchNorm) -> nn.Module:
    """Give ``replacement`` the parameters and buffers of ``module``, not copies, and its mode."""
    replacement.weight, replacement.bias = module.weight, module.bias
    replacement.running_mean, replacement.running_var = module.running_mean, module.running_var
    replacement.num_batches_tracked = module.num_batches_tracked
    return replacement.train(module.training)
