"""Refuse batches of views that a contrastive method cannot compare."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

__all__ = ["check_views"]


def check_views(
    views: Sequence[Tensor], *, method: str, training: bool, at_least: int = 2, exactly: int | None = None
) -> None:
    """Check that ``views`` are batches ``(B, C, *spatial)`` of the same images, two or more of them in training.

    Raises:
        ValueError: when their number or their batches are others.
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
