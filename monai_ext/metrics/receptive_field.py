"""Which pixels a unit of a network really depends on: the effective receptive field."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

__all__ = ["side_holding", "squared_gradients"]


def squared_gradients(
    maps: Callable[[Tensor], Mapping[str, Tensor]], images: Tensor, *, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Of the central unit of each map: the squared gradient with respect to every pixel of each image.

    Luo et al. 2016, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", section 2: a
    gradient is sent back from the unit in the middle of a map alone. The channels of the unit are added with random
    signs, so that they cannot cancel: the expectation is the sum of their squared gradients. The mean over images,
    and its root, is left to the caller.

    Args:
        maps: images to maps (B, C, h, w) by name; the middle is ``(h // 2, w // 2)``.
        images: (B, K, H, W).
        generator: of the signs, on the CPU.

    Returns:
        (B, H, W) by name, in float64 on the CPU.
    """
    inputs = images.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        found = maps(inputs)
        units = {name: values[:, :, values.shape[2] // 2, values.shape[3] // 2] for name, values in found.items()}
        squares = {}
        for name, unit in units.items():
            signs = torch.randint(0, 2, unit.shape, generator=generator).to(unit) * 2 - 1
            (gradient,) = torch.autograd.grad((unit * signs).sum(), inputs, retain_graph=True)
            squares[name] = gradient.double().square().sum(dim=1).cpu()
    return squares


def side_holding(amplitude: np.ndarray, center: tuple[float, float], share: float) -> float:
    """Side, in pixels, of the square around a unit's place that holds a share of what reaches the unit.

    A square, since receptive fields are: for uniform weights in every layer all of it is held by the theoretical field.
    0.5 is half of it, 0.9545 what two deviations of a normal distribution hold. Between pixels it is interpolated.

    Args:
        amplitude: (H, W), not negative: the root of the mean of :func:`squared_gradients`.
        center: row and column of the unit's place in the image.
        share: of the sum, within (0, 1].

    Returns:
        NaN when no pixel reaches the unit.

    >>> side_holding(np.ones((3, 3)), (1, 1), 1.0), round(side_holding(np.ones((3, 3)), (1, 1), 0.5), 3)
    (3.0, 1.875)
    """
    rows, columns = np.indices(amplitude.shape)
    distance = np.rint(np.maximum(abs(rows - center[0]), abs(columns - center[1]))).astype(int)
    held = np.bincount(distance.ravel(), weights=amplitude.ravel())
    if not held.sum() > 0:
        return float("nan")
    reached = np.concatenate([[0.0], np.cumsum(held) / held.sum()])
    sides = np.concatenate([[0.0], 2.0 * np.arange(len(held)) + 1])
    first = int(np.searchsorted(reached, min(share, reached[-1]) - 1e-12))
    low, high = reached[first - 1], reached[first]
    return float(sides[first - 1] + (share - low) / (high - low) * (sides[first] - sides[first - 1])) if first else 0.0
