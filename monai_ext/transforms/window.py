"""Hounsfield windows: which part of the CT scale a network sees, chosen at training time and never per slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

import torch

__all__ = ["PERCENTILES", "WINDOWS", "HounsfieldWindow", "Window", "find_window", "hounsfield_windows", "window_bounds"]


@dataclass(frozen=True)
class Window:
    """One window on the Hounsfield scale, as radiologists give it: centre and width in HU.

    It maps ``lower_hu .. upper_hu`` linearly onto 0 .. 1 and clips the rest, which is the function that DICOM calls
    LINEAR_EXACT (PS3.3, C.11.2.1.3.2).

    Args:
        center_hu: middle of the window.
        width_hu: distance between black and white; must be positive.

    Raises:
        ValueError: the width is not positive.
    """

    center_hu: float
    width_hu: float

    def __post_init__(self) -> None:
        if not self.width_hu > 0:
            raise ValueError(f"A window needs a positive width in HU, but {self.width_hu} was given.")

    @property
    def lower_hu(self) -> float:
        """The value that is shown black."""
        return self.center_hu - self.width_hu / 2

    @property
    def upper_hu(self) -> float:
        """The value that is shown white."""
        return self.center_hu + self.width_hu / 2


WINDOWS: dict[str, Window] = {
    "lung": Window(-600, 1500),
    "mediastinum": Window(40, 400),
    "abdomen": Window(50, 400),
    "brain": Window(40, 80),
    "subdural": Window(75, 215),
    "bone": Window(400, 1800),
    "full": Window(1023.5, 4095),
}
"""Presets in common clinical use. ``full`` is the 12-bit scale, -1024 .. 3071 HU, on which tissue is never clipped."""

PERCENTILES = "percentiles"
"""The window of MR, which has no Hounsfield units: from the lower to the upper percentile of each series, see
:mod:`monai_ext.data.percentiles`. It has to be named, so that MR is never taken for CT."""

WindowChoice: TypeAlias = str | Sequence[float] | Window


def find_window(window: WindowChoice) -> Window:
    """Return the window of a preset's name, or of a ``[center_hu, width_hu]`` pair.

    Raises:
        ValueError: the name is no preset (the nearest one is suggested), or the pair is not two numbers.
    """
    if isinstance(window, Window):
        return window
    if isinstance(window, str):
        if window == PERCENTILES:
            raise ValueError(
                f"The window {PERCENTILES!r} is that of MR, on the scale of each series' percentiles, and cannot be"
                f" applied to Hounsfield units: name one of {', '.join(WINDOWS)}, or [center_hu, width_hu]."
            )
        if window not in WINDOWS:
            nearest = get_close_matches(window, WINDOWS, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise ValueError(f"There is no window {window!r}; the presets are {', '.join(WINDOWS)}.{hint}")
        return WINDOWS[window]
    if len(window) != 2 or not all(isinstance(number, int | float) for number in window):
        raise ValueError(f"A window is a preset's name or a pair [center_hu, width_hu], but {window!r} was given.")
    return Window(float(window[0]), float(window[1]))


def hounsfield_windows(window: WindowChoice | Sequence[WindowChoice]) -> tuple[Window, ...]:
    """The windows of a choice that may be MR's, which has none.

    Raises:
        ValueError: as :func:`find_window`.

    >>> [found.lower_hu for found in hounsfield_windows("lung")], hounsfield_windows("percentiles")
    ([-1350.0], ())
    """
    return () if window == PERCENTILES else HounsfieldWindow(window).windows


def window_bounds(window: WindowChoice) -> list[float]:
    """Return the Hounsfield units that become 0 and 1.

    Raises:
        ValueError: as :func:`find_window`.

    Example:
        >>> window_bounds("lung")
        [-1350.0, 150.0]
    """
    found = find_window(window)
    return [found.lower_hu, found.upper_hu]


class HounsfieldWindow:
    """Maps Hounsfield units onto [0, 1] through one window, or through several windows as channels.

    Several windows give the network what a radiologist gets by switching windows: fine contrast in soft tissue and
    the whole range of lung and bone at once.

    Args:
        window: a preset of :data:`WINDOWS`, a ``[center_hu, width_hu]`` pair, or a list of either: one channel each.
        channels: of what is made of them, by repeating a single window; any number when omitted.

    Raises:
        ValueError: an unknown preset, a width that is not positive, an empty list, or windows that are neither one nor
            as many as channels.

    Example:
        >>> lung_and_bone = HounsfieldWindow(["lung", "bone"])
        >>> lung_and_bone(torch.tensor([[[-1350.0, 150.0, 1300.0]]])).tolist()
        [[[0.0, 1.0, 1.0]], [[0.0, 0.3611111044883728, 1.0]]]
        >>> HounsfieldWindow([40, 400]).inverse(torch.tensor([[[0.75]]])).item()
        140.0
    """

    def __init__(self, window: WindowChoice | Sequence[WindowChoice] = "full", *, channels: int | None = None) -> None:
        self.windows: tuple[Window, ...] = tuple(find_window(choice) for choice in _as_list(window))
        if not self.windows:
            raise ValueError("At least one window is needed, but an empty list was given.")
        if channels is not None and len(self.windows) not in (1, channels):
            raise ValueError(
                f"{len(self.windows)} windows do not fit {channels} channels: give one window for all channels, or as"
                " many windows as channels."
            )

    def __call__(self, hounsfield: torch.Tensor) -> torch.Tensor:
        """Window ``hounsfield`` of shape (..., 1, H, W), any numeric type, into float32 of shape (..., C, H, W)."""
        channels = [
            ((hounsfield.float() - window.lower_hu) / window.width_hu).clamp_(0.0, 1.0) for window in self.windows
        ]
        return channels[0] if len(channels) == 1 else torch.cat(channels, dim=-3)

    def inverse(self, windowed: torch.Tensor) -> torch.Tensor:
        """Return the Hounsfield units, (..., 1, H, W), of what :meth:`__call__` gave, (..., C, H, W).

        Exact, up to the rounding of float32, wherever one window did not clip; the narrowest such window is used,
        since it is the most precise. Where every window clipped, the nearest bound of the widest one is returned.

        Raises:
            ValueError: the number of channels is not the number of windows.
        """
        if windowed.shape[-3] != len(self.windows):
            raise ValueError(
                f"These {len(self.windows)} windows cannot be undone on a tensor with {windowed.shape[-3]} channels"
                f" (shape {tuple(windowed.shape)}): pass what the windows gave, one channel each."
            )
        order = sorted(range(len(self.windows)), key=lambda index: self.windows[index].width_hu, reverse=True)
        hounsfield = self._channel_hounsfield(windowed, order[0])
        for index in order[1:]:
            channel = windowed.narrow(-3, index, 1)
            inside = (channel > 0) & (channel < 1)
            hounsfield = torch.where(inside, self._channel_hounsfield(windowed, index), hounsfield)
        return hounsfield

    def _channel_hounsfield(self, windowed: torch.Tensor, index: int) -> torch.Tensor:
        window = self.windows[index]
        return windowed.narrow(-3, index, 1).float() * window.width_hu + window.lower_hu


def _as_list(window: WindowChoice | Sequence[WindowChoice]) -> list[WindowChoice]:
    if isinstance(window, str | Window):
        return [window]
    is_pair = bool(window) and all(isinstance(number, int | float) for number in window)
    return [window] if is_pair else list(window)  # type: ignore[list-item,arg-type]
