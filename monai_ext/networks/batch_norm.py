"""What batch normalisations that take their statistics elsewhere than from the whole batch have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["OwnStatisticsBatchNorm", "take_over"]


class OwnStatisticsBatchNorm(_BatchNorm):
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


def take_over(module: _BatchNorm, replacement: _BatchNorm) -> nn.Module:
    """Give ``replacement`` the parameters and buffers of ``module``, not copies, and its mode."""
    replacement.weight, replacement.bias = module.weight, module.bias
    replacement.running_mean, replacement.running_var = module.running_mean, module.running_var
    replacement.num_batches_tracked = module.num_batches_tracked
    return replacement.train(module.training)
