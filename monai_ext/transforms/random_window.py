"""Random window centre and width: CT's natural colour jitter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch

from monai_ext.transforms.batch_transform import (
    BatchTransform,
    apply_where,
    check_batch,
    check_probability,
    check_range,
)
from monai_ext.transforms.window import HounsfieldWindow, Window, WindowChoice

__all__ = ["RandWindow", "RandomWindow", "WindowChoices"]

WindowChoices: TypeAlias = WindowChoice | Sequence[WindowChoice] | HounsfieldWindow

_RELATIVE = Window(0.5, 1.0)
"""The range [0, 1] itself: where there are no Hounsfield units, windows are given on it."""


class RandomWindow(NamedTuple):
    """What was drawn for B images: ``chosen`` (B,) boolean; ``around`` (B,), which of the windows; ``shift`` and
    ``width_factor`` (B,), by how much it is changed."""

    chosen: torch.Tensor
    around: torch.Tensor
    shift: torch.Tensor
    width_factor: torch.Tensor


class RandWindow(BatchTransform[RandomWindow]):
    """Show images in another window than the one they arrive in, as a radiologist does who turns its two knobs.

    A window of ``around`` is taken at random, its centre is moved by up to ``center_shift`` of its width, its width is
    multiplied by a factor, and the image is shown in the result. What the window that the images arrive in has clipped
    stays clipped: let them arrive in a wide one, such as ``"full"``.

    Args:
        arrives_in: window of the images in [0, 1]: a preset, ``[center_hu, width_hu]``, a
            :class:`~monai_ext.transforms.HounsfieldWindow`, or a list with one a channel. None for pictures, which have
            gray levels and no Hounsfield units: then windows are changed relatively to the range [0, 1].
        around: preset, ``[center_hu, width_hu]``, or a list of them, to choose among; None for the window that the
            images (or each of their channels) arrive in.
        center_shift: largest shift of the centre to either side, as a fraction of the width of the window around
            which it is.
        width_factor: smallest and largest factor of the width; its logarithm is uniform.
        probability: of another window than the one that images arrive in.

    Raises:
        ValueError: windows in Hounsfield units for pictures, or a number that makes no sense.

    Example:
        >>> window = RandWindow("full", around=["lung", "mediastinum"], center_shift=0.1, width_factor=[0.8, 1.25])
        >>> window(torch.rand(4, 1, 8, 8)).shape
        torch.Size([4, 1, 8, 8])
    """

    def __init__(
        self,
        arrives_in: WindowChoices | None = "full",
        *,
        around: WindowChoice | Sequence[WindowChoice] | None = None,
        center_shift: float = 0.1,
        width_factor: Sequence[float] = (0.8, 1.25),
        probability: float = 0.5,
    ) -> None:
        if arrives_in is None and around is not None:
            raise ValueError(
                f"Pictures have gray levels, not Hounsfield units, and cannot be shown in the window {around!r}: leave"
                " 'around' away, so that windows change relatively to the pictures' range."
            )
        if not 0 <= center_shift < float("inf"):
            raise ValueError(f"center_shift is a fraction of the window's width, 0 or more, not {center_shift}.")
        self.arrives_in = (_RELATIVE,) if arrives_in is None else _windows(arrives_in)
        self.around = None if around is None else _windows(around)
        self.center_shift = float(center_shift)
        self.width_factor = check_range("width_factor", width_factor)
        self.probability = check_probability("probability", probability)

    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> RandomWindow:
        """Draw four numbers an image."""
        draws = torch.rand(check_batch(images)[0], 4, generator=generator, dtype=torch.float64)
        low, high = self.width_factor
        return RandomWindow(
            chosen=draws[:, 0] < self.probability,
            around=(draws[:, 1] * len(self.around or [0])).long(),
            shift=self.center_shift * (2 * draws[:, 2] - 1),
            width_factor=low * (high / low) ** draws[:, 3],
        )

    def apply(self, images: torch.Tensor, parameters: RandomWindow) -> torch.Tensor:
        """Show the chosen images, (B, C, H, W) in [0, 1], in other windows; the result is in [0, 1].

        Raises:
            ValueError: several windows arrive, but not one a channel.
        """
        if len(self.arrives_in) not in (1, check_batch(images)[1]):
            raise ValueError(
                f"Images with {images.shape[1]} channels cannot arrive in {len(self.arrives_in)} windows: give one"
                " window for all channels, or as many windows as channels."
            )

        def show(chosen: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
            lower, width = self._bounds(RandomWindow(*(values[indices] for values in parameters)))
            return (chosen - lower.to(chosen)).div_(width.to(chosen)).clamp_(0.0, 1.0)

        return apply_where(images, parameters.chosen, show)

    def _bounds(self, parameters: RandomWindow) -> tuple[torch.Tensor, torch.Tensor]:
        """Lower bound and width of the new windows on the scale of the images, both (B, 1 or C, 1, 1)."""
        center, width = (values[parameters.around] for values in _scale(self.around or (_RELATIVE,)))
        if self.around is not None:
            own_center, own_width = _scale(self.arrives_in)
            center = (center[:, None] - own_center) / own_width + 0.5
            width = width[:, None] / own_width
        center, width = center.reshape(len(parameters.around), -1), width.reshape(len(parameters.around), -1)
        center = center + parameters.shift[:, None] * width
        width = width * parameters.width_factor[:, None]
        return (center - width / 2)[..., None, None], width[..., None, None]


def _windows(choices: WindowChoices) -> tuple[Window, ...]:
    return choices.windows if isinstance(choices, HounsfieldWindow) else HounsfieldWindow(choices).windows


def _scale(windows: Sequence[Window]) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres and widths, (n,) each."""
    values = torch.tensor([[window.center_hu, window.width_hu] for window in windows], dtype=torch.float64)
    return values[:, 0], values[:, 1]
