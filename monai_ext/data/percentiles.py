"""MR on a scale of its own: robust percentiles of a whole series become fixed numbers, since MR has no unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["FULL_SCALE", "PERCENTS", "PercentileScale", "RunningPercentiles"]

PERCENTS = (0.5, 99.5)
"""Of the values above background: as in MedSAM (Ma et al. 2024, Nature Communications 15:654), after Nyul and Udupa
(1999, Magnetic Resonance in Medicine 42:1072), whose landmarks leave out the tails of the histogram as well."""

FULL_SCALE = 10_000
"""What the upper percentile becomes; the lower one becomes 0. As int16 there is room for 3.2 times as much on both
sides, so that bright vessels and fat are kept, and a step is finer than that of 12 bits."""

_MOST_VALUES = 2**18
_SCALING = "percentiles"


@dataclass(frozen=True)
class PercentileScale:
    """The linear scale of one series: ``low`` becomes 0 and ``high`` becomes :data:`FULL_SCALE`.

    Args:
        low: signal at the lower of :data:`PERCENTS`.
        high: signal at the upper one.
        origin: what the signal was taken from, see :mod:`monai_ext.data.dicom.signal`: slices that come later are on
            this scale only if they say as much.
    """

    low: float
    high: float
    origin: str = "stored"

    def __call__(self, signal: np.ndarray) -> np.ndarray:
        """Scale signal of any shape, float32; NaN, which stands for padding, becomes 0."""
        scaled = (signal - self.low) * (FULL_SCALE / (self.high - self.low))
        return np.nan_to_num(scaled, nan=0.0, copy=False).astype(np.float32, copy=False)

    def provenance(self) -> dict[str, Any]:
        """What is noted with the series, so that nobody takes its values for Hounsfield units."""
        return {
            "scaling": _SCALING,
            "percents": list(PERCENTS),
            "full_scale": FULL_SCALE,
            "signal_at_0": self.low,
            "signal_at_full_scale": self.high,
            "signal_from": self.origin,
        }

    @classmethod
    def of_provenance(cls, provenance: Mapping[str, Any]) -> PercentileScale | None:
        """The scale that was noted with a series; None where there is none, as in stores of older versions."""
        low, high = provenance.get("signal_at_0"), provenance.get("signal_at_full_scale")
        is_noted = provenance.get("scaling") == _SCALING and provenance.get("full_scale") == FULL_SCALE
        if not is_noted or not isinstance(low, int | float) or not isinstance(high, int | float):
            return None
        return cls(float(low), float(high), str(provenance.get("signal_from", "stored")))


class RunningPercentiles:
    """Percentiles of values that come slice by slice, in bounded memory.

    Values are counted; they are exact as long as there are at most 262,144 different ones, more than any 16-bit series
    with one slope has. Beyond that, neighbours are put together, each pair at its mean. The lowest value is that of the
    background (zero in most series, or what a mask has left) and does not count.

    Args:
        most_values: different values that are told apart.

    Example:
        >>> seen = RunningPercentiles()
        >>> seen.add(np.array([[0.0, 0.0, 1.0, 2.0]]))
        >>> seen.add(np.array([[0.0, np.nan, 3.0, 4.0]]))
        >>> seen.at(25), seen.at(75), seen.different_values
        (1.0, 3.0, 5)
    """

    def __init__(self, *, most_values: int = _MOST_VALUES) -> None:
        self._most = most_values
        self._values, self._counts = np.zeros(0), np.zeros(0, np.int64)
        self.is_whole = True

    def add(self, values: np.ndarray) -> None:
        """Count values of any shape; NaN is passed over."""
        fresh, counts = np.unique(values[np.isfinite(values)], return_counts=True)
        self.is_whole = self.is_whole and bool((fresh == np.rint(fresh)).all())
        together = np.concatenate([self._values, fresh.astype(np.float64)])
        self._values, places = np.unique(together, return_inverse=True)
        self._counts = np.bincount(
            places, weights=np.concatenate([self._counts, counts]), minlength=len(self._values)
        ).astype(np.int64)
        while len(self._values) > self._most:
            self._put_neighbours_together()

    @property
    def different_values(self) -> int:
        """How many different values were seen, or are still told apart."""
        return len(self._values)

    def at(self, percent: float) -> float:
        """The least value that so many percent of those above background do not exceed; NaN where there are none."""
        counts = np.cumsum(self._counts[1:])
        if not len(counts):
            return float("nan")
        place = int(np.searchsorted(counts, percent / 100 * counts[-1], side="left"))
        return float(self._values[1:][min(place, len(counts) - 1)])

    def scale(self, *, origin: str = "stored") -> PercentileScale | None:
        """The scale of what was seen; None where there is no contrast.

        Args:
            origin: of the signal.
        """
        low, high = (self.at(percent) for percent in PERCENTS)
        return PercentileScale(low, high, origin) if high > low else None

    def _put_neighbours_together(self) -> None:
        """Halve the number of values, all but the lowest and, where their number is even, the highest."""
        end = 1 + (len(self._values) - 1) // 2 * 2
        values, counts = self._values[1:end].reshape(-1, 2), self._counts[1:end].reshape(-1, 2)
        sums = counts.sum(axis=1)
        means = (values * counts).sum(axis=1) / sums
        self._values = np.concatenate([self._values[:1], means, self._values[end:]])
        self._counts = np.concatenate([self._counts[:1], sums, self._counts[end:]])
