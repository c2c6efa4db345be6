"""Run a contrastive method on views of the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.inferers import Inferer
from torch import Tensor

__all__ = ["MultiViewInferer"]


class MultiViewInferer(Inferer):
    """Forward pass of a method that compares views, as of :class:`~monai_ext.networks.BYOL`; gives what its loss takes.

    Example:
        >>> import torch
        >>> MultiViewInferer()([torch.ones(2), torch.zeros(2)], lambda views: (views[0], views[1]))
        (tensor([1., 1.]), tensor([0., 0.]))
    """

    def __call__(  # type: ignore[override]
        self,
        inputs: Sequence[Tensor],
        network: Callable[..., Any],
        *args: Any,
        sample_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Compare views.

        Args:
            inputs: views, tensors ``(B, C, *spatial)``, global ones first.
            network: wrapped for distributed training or not.
            sample_ids: which sample each image is, ``(B,)``, for a network that takes them (MoCo).
            args, kwargs: not used; what evaluators pass to inferers that draw something.
        """
        output: tuple[Any, ...] = network(inputs) if sample_ids is None else network(inputs, sample_ids)
        return output
