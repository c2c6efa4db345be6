"""The teacher of BYOL and MoCo: a copy of the student that follows it slowly."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

__all__ = ["MomentumEncoder"]


class MomentumEncoder(nn.Module):
    r"""Exponential moving average of a chain of modules; it is run, but never gets a gradient.

    After each step of the student's optimiser :meth:`update` moves every parameter,
    :math:`\xi = \text{decay} \cdot \xi + (1 - \text{decay}) \cdot \theta` (He et al. 2020, "Momentum Contrast",
    section 3.2; Grill et al. 2020, "Bootstrap Your Own Latent", section 3.1). Batch statistics are not averaged: the
    teacher takes them from its own batches and keeps its own running ones.

    Args:
        student: the modules by name, in the order in which they run; copied, not changed.

    Example:
        >>> student = {"encoder": nn.Linear(2, 1, bias=False)}
        >>> teacher = MomentumEncoder(student)
        >>> _ = student["encoder"].weight.data.add_(1.0)
        >>> teacher.update(student, decay=0.9)
        >>> bool(torch.isclose(student["encoder"].weight - teacher.encoder.weight, torch.tensor(0.9)).all())
        True
    """

    def __init__(self, student: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, module in student.items():
            self.add_module(name, deepcopy(module))
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Run the chain without gradients: ``(B, C, *spatial)`` to the last module's ``(B, D)``."""
        output = images
        for module in self.children():
            output = module(output)
        return output

    @torch.no_grad()
    def update(self, student: Mapping[str, nn.Module], *, decay: float) -> None:
        """Move towards the student.

        Args:
            student: the modules that were copied.
            decay: share of its old value that each parameter keeps, in [0, 1].

        Raises:
            ValueError: when ``decay`` is out of range.
        """
        if not 0.0 <= decay <= 1.0:
            raise ValueError(f"The teacher keeps a share of its old weights within [0, 1]; received decay={decay}.")
        own: list[Tensor] = [param for name in student for param in self.get_submodule(name).parameters()]
        new: list[Tensor] = [param for module in student.values() for param in module.parameters()]
        torch._foreach_lerp_(own, new, 1.0 - decay)
