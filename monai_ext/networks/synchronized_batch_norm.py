"""Batch normalisation over the joint batch of all processes, on every kind of device."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_ext.networks.batch_norm import OwnStatisticsBatchNorm, take_over
from monai_ext.networks.split_batch_norm import SplitBatchNorm
from monai_ext.parallel.processes import process_count

__all__ = ["SynchronizedBatchNorm", "synchronize_batch_norm"]


class SynchronizedBatchNorm(OwnStatisticsBatchNorm):
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
        return _replace(module)
    for name, child in module.named_children():
        setattr(module, name, synchronize_batch_norm(child))
    return module


def _replace(module: _BatchNorm) -> nn.Module:
    if not module.affine:
        raise ValueError(f"{module} has no scale and shift; synchronised batch normalisation needs affine=True.")
    replacement = SynchronizedBatchNorm(
        module.num_features, eps=module.eps, momentum=module.momentum, track_running_stats=module.track_running_stats
    )
    return take_over(module, replacement)
