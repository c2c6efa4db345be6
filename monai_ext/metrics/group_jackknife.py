"""What other patients would have given, for numbers that no resample with replacement may be taken of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from monai_ext.metrics.classification import Estimate

__all__ = ["BLOCKS", "JackknifeEstimate", "group_blocks"]

BLOCKS = 20


@dataclass(frozen=True)
class JackknifeEstimate:
    """A number, and what it is without each block of patients (Efron and Tibshirani 1993, section 11.5).

    Ranks and similarities compare images with each other: in a bootstrap an image would meet itself, which no two
    patients do. Leaving patients out has no such pairs. Of J blocks, the variance is (J - 1)/J times the sum of squared
    deviations; intervals and p-values are those of Student's t with J - 1 degrees of freedom.

    Args:
        value: of all images.
        without: (J,) of all images but those of one block each.

    >>> estimate = JackknifeEstimate(2.0, np.array([2.5, 2.0, 1.5]))  # the mean of 1, 2 and 3
    >>> round(estimate.error, 4)  # the deviation of 1, 2 and 3, by the root of 3
    0.5774
    """

    value: float
    without: np.ndarray

    def __sub__(self, other: JackknifeEstimate) -> JackknifeEstimate:
        """The difference of two numbers of the same images: paired, since both lack the same patients each time."""
        return JackknifeEstimate(self.value - other.value, self.without - other.without)

    @property
    def error(self) -> float:
        """Standard error."""
        count = len(self.without)
        return math.sqrt((count - 1) / count * float(((self.without - self.without.mean()) ** 2).sum()))

    @property
    def estimate(self) -> Estimate:
        """With its 95 % interval."""
        from scipy.stats import t

        reach = float(t.ppf(0.975, len(self.without) - 1)) * self.error
        return Estimate(self.value, self.value - reach, self.value + reach)

    @property
    def p_value(self) -> float:
        """Two-sided, that the number is 0."""
        from scipy.stats import t

        if self.error == 0:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * t.sf(abs(self.value) / self.error, len(self.without) - 1))


def group_blocks(groups: Sequence[Hashable], *, most: int = BLOCKS, seed: int = 0) -> np.ndarray:
    """(N,) of every image the number of its block, from 0: whole groups (patients) drawn into blocks of similar size.

    Args:
        groups: of every image, its patient.
        most: blocks; as many as there are groups, where these are fewer.
        seed: of the draw.

    Raises:
        ValueError: all images are of one group.

    >>> group_blocks(["a", "a", "b"]).tolist() in ([0, 0, 1], [1, 1, 0])
    True
    """
    sizes = Counter(groups)
    if len(sizes) < 2:
        raise ValueError(
            f"Intervals are made by leaving out groups (patients), and all {len(groups)} images are of one. Give images"
            " of several."
        )
    names = list(sizes)
    drawn = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    loads, block_of = [0] * min(most, len(names)), dict[Hashable, int]()
    for name in sorted(drawn, key=lambda name: -sizes[name]):
        block_of[name] = loads.index(min(loads))
        loads[block_of[name]] += sizes[name]
    return np.array([block_of[group] for group in groups])
