"""What all random transforms of a batch have in common: drawing on the CPU, applying on the images' device."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch

__all__ = ["BatchTransform", "apply_where", "check_batch", "check_probability", "check_range"]

P = TypeVar("P")


class BatchTransform(ABC, Generic[P]):
    """A random transform of a batch (B, C, H, W) in which every image has parameters of its own.

    ``randomize`` draws them on the CPU, so that CPU and GPU see the same views and drawing waits for no device;
    ``apply`` computes on the images' device. The input is never changed (the result may be the input itself where
    nothing was to be done), and an image's result depends on its own pixels and parameters only: to the last bit, but
    for the rounding of powers and means in :class:`~monai_ext.transforms.RandIntensityJitter`.
    """

    def __call__(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw and apply; from PyTorch's global generator unless another CPU generator is given.

        Raises:
            ValueError: the images are no batch (B, C, H, W), or too small.
        """
        return self.apply(images, self.randomize(images, generator=generator))

    @abstractmethod
    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> P:
        """Draw the parameters for ``images``, on the CPU; how many numbers are drawn depends on B alone."""

    @abstractmethod
    def apply(self, images: torch.Tensor, parameters: P) -> torch.Tensor:
        """Do what ``parameters`` describe."""


def apply_where(
    images: torch.Tensor,
    chosen: torch.Tensor,
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Replace the chosen images by ``function(chosen images, their indices)``, which must keep the shape.

    Args:
        images: (B, C, H, W).
        chosen: (B,) boolean, on the CPU.
        function: also gets the indices of the images, (n,) on the CPU, to look up their parameters.
    """
    if chosen.all():
        return function(images, torch.arange(len(images)))
    indices = chosen.nonzero()[:, 0]
    if not len(indices):
        return images
    places = indices.to(images.device)
    return images.index_copy(0, places, function(images[places], indices))


def check_batch(images: torch.Tensor, *, size: int = 1) -> torch.Size:
    """Return the shape of a batch from which views of ``size`` pixels can be made.

    Raises:
        ValueError: not (B, C, H, W), or smaller than ``size``.
    """
    if images.ndim != 4:
        raise ValueError(f"Views are made of a batch (B, C, H, W), but a tensor of {tuple(images.shape)} was given.")
    if min(images.shape[-2:]) < size:
        raise ValueError(
            f"Views of {size} x {size} pixels cannot be cropped from images of"
            f" {images.shape[-2]} x {images.shape[-1]}: load larger images or ask for smaller views."
        )
    return images.shape


def check_probability(name: str, value: float) -> float:
    """Return the probability.

    Raises:
        ValueError: it is not within [0, 1].
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is within [0, 1], but {value} was given.")
    return float(value)


def check_range(name: str, values: Sequence[float]) -> tuple[float, float]:
    """Return a JSON pair of positive numbers.

    Raises:
        ValueError: not two finite positive numbers, smallest first.
    """
    if len(values) != 2 or not 0 < values[0] <= values[1] or math.isinf(values[1]):
        raise ValueError(f"{name} is a pair of positive numbers, smallest first, but {list(values)} was given.")
    return float(values[0]), float(values[1])
