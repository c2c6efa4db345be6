"""Several random views of every image, as contrastive methods compare them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from monai_ext.transforms.batch_transform import BatchTransform

__all__ = ["MultiView"]


class MultiView:
    """Views by their kind: ``counts`` of them for every augmentation, in the order of ``augmentations``.

    BYOL and MoCo compare two views of one kind, SwAV two global views and several smaller local ones (multi-crop, Caron
    et al., NeurIPS 2020, section 3.2). Give the global kind first: methods rely on that order.

    Args:
        augmentations: by kind, a transform such as :class:`~monai_ext.transforms.RandomView`.
        counts: by kind, how many views.

    Raises:
        ValueError: the kinds differ, there is none, or a count is below 1.

    Example:
        >>> from monai_ext.transforms import RandomView
        >>> kinds = {"global": RandomView(32, scale=[0.9, 1.0]), "local": RandomView(16, scale=[0.1, 0.33])}
        >>> views = MultiView(kinds, counts={"global": 2, "local": 3})
        >>> [tuple(view.shape[2:]) for view in views(torch.rand(4, 1, 40, 40))]
        [(32, 32), (32, 32), (16, 16), (16, 16), (16, 16)]
    """

    def __init__(
        self, augmentations: Mapping[str, BatchTransform[Any]], *, counts: Mapping[str, int] | None = None
    ) -> None:
        counts = dict.fromkeys(augmentations, 2) if counts is None else counts
        if not augmentations or set(augmentations) != set(counts):
            raise ValueError(
                "Every kind of view needs an augmentation and a count: augmentations has"
                f" {list(augmentations) or 'nothing'}, counts has {list(counts) or 'nothing'}."
            )
        for kind, count in counts.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(f"counts[{kind!r}] is a number of views, 1 or more, but {count!r} was given.")
        self.augmentations = dict(augmentations)
        self.counts = {kind: counts[kind] for kind in augmentations}

    @property
    def kinds(self) -> list[str]:
        """The kind of each view, in order."""
        return [kind for kind, count in self.counts.items() for _ in range(count)]

    def __call__(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> list[torch.Tensor]:
        """Return the views of (B, C, H, W), each (B, C, size of its kind, size of its kind).

        Raises:
            ValueError: the images are no batch, or smaller than a view.
        """
        return self.apply(images, self.randomize(images, generator=generator))

    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> list[Any]:
        """Draw the parameters of every view, in order, on the CPU."""
        return [self.augmentations[kind].randomize(images, generator=generator) for kind in self.kinds]

    def apply(self, images: torch.Tensor, parameters: list[Any]) -> list[torch.Tensor]:
        """Make the views that ``parameters`` describe."""
        return [
            self.augmentations[kind].apply(images, drawn) for kind, drawn in zip(self.kinds, parameters, strict=True)
        ]
