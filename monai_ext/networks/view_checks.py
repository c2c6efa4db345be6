"""Refuse batches of views that a contrastive method cannot compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from monai_ext.networks.encoder import encoder_stride

__all__ = ["check_views", "fault_of_bf16"]


def check_views(
    views: Sequence[Tensor],
    *,
    method: str,
    training: bool,
    at_least: int = 2,
    exactly: int | None = None,
    encoder: nn.Module | None = None,
) -> None:
    """Check that ``views`` are batches ``(B, C, *spatial)`` of the same images, two or more of them in training.

    Raises:
        ValueError: when their number or their batches are others, or the encoder cannot be trained on their size.
        TypeError: when one tensor is given in place of a list of views.
    """
    if isinstance(views, Tensor):
        raise TypeError(
            f"{method} compares views and takes a list of tensors, one a view; received one tensor of shape "
            f"{tuple(views.shape)}. Make views with monai_ext.transforms.MultiView."
        )
    wanted = f"exactly {exactly}" if exactly is not None else f"at least {at_least}"
    if len(views) != exactly if exactly is not None else len(views) < at_least:
        raise ValueError(f"{method} takes {wanted} views of each image; received {len(views)}.")
    sizes = {len(view) for view in views}
    if len(sizes) != 1:
        raise ValueError(f"{method} takes views of one batch of images; received views of {sorted(sizes)} images.")
    if min(sizes) < (2 if training else 1):
        raise ValueError(
            f"{method} is trained on at least 2 images a process (and part, when accumulating), since batch "
            f"normalisation has no statistics of one image; received {min(sizes)}. Use a larger batch_size."
        )
    if training and isinstance(encoder, ResNet) and _computes_bf16_on_a_cpu(views[0]):
        fault = _fault_at(min(min(view.shape[2:]) for view in views), encoder)
        if fault is not None:
            raise ValueError(f"{method} was to be trained in bf16, but {fault}. Use larger views, or --precision fp32.")


def fault_of_bf16(network: nn.Module, views: Any) -> str | None:
    """Why a network is not to be trained in bf16 on a CPU on the images that it will get; None where it may be.

    For a strided convolution over a map of one pixel, oneDNN leaves parts of the bf16 weight gradient unwritten.

    Args:
        network: a ResNet, or a method with one as ``encoder``; others are not limited.
        views: what makes its images: :class:`~monai_ext.transforms.MultiView`, or one of its augmentations.
    """
    encoder = getattr(network, "encoder", network)
    kinds = getattr(views, "augmentations", {"": views}).values()
    sides = [kind.size for kind in kinds if isinstance(getattr(kind, "size", None), int)]
    if not isinstance(encoder, ResNet) or not sides:
        return None
    return _fault_at(min(sides), encoder)


def _fault_at(pixels: int, encoder: ResNet) -> str | None:
    """Said of the images' smallest side: the map before the last stride has one pixel."""
    enough = encoder_stride(encoder) // 2
    if pixels > enough:
        return None
    return f"PyTorch computes wrong bf16 gradients on a CPU for images of {pixels} pixels (more than {enough} are fine)"


def _computes_bf16_on_a_cpu(view: Tensor) -> bool:
    kind = view.device.type
    return kind == "cpu" and torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16
