"""LAMB: Adam whose step is scaled, tensor by tensor, to the size of the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

__all__ = ["LAMB"]


class LAMB(Optimizer):
    r"""Layer-wise adaptive moments (You et al. 2020, "Large Batch Optimization for Deep Learning", algorithm 2).

    The update is the one that SparK was trained with, which differs from the paper in clipping the gradient of the
    whole network first and in leaving tensors without weight decay at the plain Adam step. With the gradient :math:`g`
    divided by :math:`\max(1, \|g\|_{all} / max\_grad\_norm)`, at step t:

    .. math::
        m &= \beta_1 m + (1 - \beta_1) g, \qquad v = \beta_2 v + (1 - \beta_2) g^2 \\
        u &= \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} + \lambda p \\
        p &= p - lr \cdot r \cdot u, \qquad r = \|p\| / \|u\| \text{ if } \lambda \ne 0 \text{, else } 1

    and r is also 1 where either norm is zero. ``pytorch_optimizer.Lamb`` (4.1.0) computes something else: no bias
    correction of v, decay applied to the weights and not to the update, and weight norms clamped at 10.

    Args:
        params: parameters, or the groups of :func:`monai_ext.optimizers.parameter_groups`.
        lr: learning rate, the share of its own norm by which a tensor moves in one step.
        betas: decay of the running means of the gradient and of its square; SparK takes (0.9, 0.95).
        eps: added to the root of the second moment.
        weight_decay: :math:`\lambda`, for groups that do not bring their own.
        max_grad_norm: global gradient norm above which all gradients are scaled down, in place; None never clips.

    Raises:
        ValueError: when an argument is out of range.
        RuntimeError: in ``step``, for sparse gradients.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = LAMB([weight], lr=0.1, weight_decay=0.0)
        >>> weight.grad = torch.tensor([1.0, -1.0]); optimizer.step()
        >>> weight.data
        tensor([0.9000, 1.1000])
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float = 2e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-6,
        weight_decay: float = 0.04,
        max_grad_norm: float | None = 5.0,
    ) -> None:
        if lr < 0 or eps < 0 or weight_decay < 0:
            raise ValueError(f"lr, eps and weight_decay must not be negative; received {lr}, {eps} and {weight_decay}.")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas are decay rates in [0, 1); received {tuple(betas)}.")
        if max_grad_norm is not None and max_grad_norm <= 0:
            raise ValueError(f"max_grad_norm must be above 0, or None to never clip; received {max_grad_norm}.")
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "step": 0})
        self.max_grad_norm = max_grad_norm

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient; returns what ``closure``, if given, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._check_and_clip_gradients()
        for group in self.param_groups:
            group["step"] += 1
            params = [param for param in group["params"] if param.grad is not None]
            if params:
                self._update(params, group)
        return loss

    def _check_and_clip_gradients(self) -> None:
        gradients = [param.grad for group in self.param_groups for param in group["params"] if param.grad is not None]
        if any(gradient.is_sparse for gradient in gradients):
            raise RuntimeError("LAMB needs dense gradients, but one is sparse: build its layer with sparse=False.")
        if self.max_grad_norm is not None and gradients:
            excess = (get_total_norm(gradients) / self.max_grad_norm).clamp(min=1.0)
            torch._foreach_div_(gradients, excess)

    def _update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        (beta1, beta2), step = group["betas"], group["step"]
        gradients = [param.grad for param in params if param.grad is not None]
        mean = [self._moment(param, "exp_avg") for param in params]
        mean_square = [self._moment(param, "exp_avg_sq") for param in params]

        torch._foreach_mul_(mean, beta1)
        torch._foreach_add_(mean, gradients, alpha=1 - beta1)
        torch._foreach_mul_(mean_square, beta2)
        torch._foreach_addcmul_(mean_square, gradients, gradients, value=1 - beta2)

        denominator = torch._foreach_sqrt(mean_square)
        torch._foreach_div_(denominator, (1 - beta2**step) ** 0.5)
        torch._foreach_add_(denominator, group["eps"])
        updates = list(torch._foreach_div(mean, 1 - beta1**step))
        torch._foreach_div_(updates, denominator)
        if group["weight_decay"] != 0:
            torch._foreach_add_(updates, params, alpha=group["weight_decay"])
            torch._foreach_mul_(updates, _trust_ratios(params, updates))
        torch._foreach_add_(params, updates, alpha=-group["lr"])

    def _moment(self, param: Tensor, name: str) -> Tensor:
        state = self.state[param]
        if name not in state:
            state[name] = torch.zeros_like(param)
        return state[name]


def _trust_ratios(params: Sequence[Tensor], updates: Sequence[Tensor]) -> list[Tensor]:
    """The weights' norm over the update's norm for each tensor; 1 where either is zero."""
    weight_norms = torch.stack(torch._foreach_norm(list(params)))
    update_norms = torch.stack(torch._foreach_norm(list(updates)))
    usable = (weight_norms > 0) & (update_norms > 0)
    return list(torch.where(usable, weight_norms / update_norms, 1.0).unbind())
