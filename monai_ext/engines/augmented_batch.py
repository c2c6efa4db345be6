"""Augment a batch on the training device, in MONAI's trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.engines.utils import PrepareBatch
from torch import Tensor

__all__ = ["AugmentedBatch"]


class AugmentedBatch(PrepareBatch):
    """``prepare_batch`` of MONAI's ``SupervisedTrainer``: images and labels on the device, the images augmented.

    Labels are classes (B,), or label maps (B, 1, H, W), which move with their images.

    The views draw from PyTorch's global generator in the main process, so what is drawn does not depend on the number
    of data workers and goes on exactly where a resumed training left off.

    Args:
        views: takes images (B, C, H, W) to one random view of each, (B, C, S, S); None leaves them as they are. For
            label maps it has ``randomize``, ``apply`` and ``apply_to_labels``, as
            :class:`~monai_ext.transforms.RandomView`.
    """

    def __init__(self, views: Callable[[Tensor], Tensor] | None = None) -> None:
        self.views = views

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Views (B, C, S, S), and labels (B,) or label maps (B, 1, S, S)."""
        images = batchdata["image"].to(device, non_blocking=non_blocking)
        labels = batchdata["label"].to(device, non_blocking=non_blocking)
        if self.views is None:
            return images, labels
        if labels.ndim < images.ndim:
            return self.views(images), labels
        views: Any = self.views
        drawn = views.randomize(images)
        return views.apply(images, drawn), views.apply_to_labels(labels, drawn)
