"""Learning rate and weight decay as pure functions of the iteration, so that a resumed run follows the same curve."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer

if TYPE_CHECKING:
    from monai_ext.optimizers.training_length import TrainingLength

__all__ = ["WarmupCosine", "scale_learning_rate"]

logger = logging.getLogger(__name__)


def scale_learning_rate(base_lr: float, *, batch_size: int, reference_batch_size: int = 256) -> float:
    """Learning rate in proportion to the batch: ``base_lr * batch_size / reference_batch_size``.

    The linear scaling rule (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.1); published base rates are
    for 256 images a step.

    Args:
        base_lr: learning rate at the reference batch size.
        batch_size: images of one optimiser step over all processes.
        reference_batch_size: images a step for which ``base_lr`` was published.

    Raises:
        ValueError: when a batch size is not positive.

    Example:
        >>> scale_learning_rate(2e-4, batch_size=32)
        2.5e-05
    """
    if batch_size < 1 or reference_batch_size < 1:
        raise ValueError(
            f"Batch sizes must be at least 1; received batch_size={batch_size}, "
            f"reference_batch_size={reference_batch_size}."
        )
    return base_lr * batch_size / reference_batch_size


class WarmupCosine:
    r"""A field of the optimiser's groups that rises linearly, then follows half a cosine to its final value.

    With the peak P, the final value F, W warm-up iterations and T iterations in total, iteration i = 0 .. T-1 has

    .. math::
        P \, (w + (1 - w) i / W) & \quad \text{for } i < W \\
        F + (P - F) (1 + \cos(\pi (i - W) / (T - 1 - W))) / 2 & \quad \text{after}

    where w is ``warmup_factor``. The first iteration is at w P, iteration W at P and the last one at F. These are
    SparK's curves for the learning rate (40 epochs from 0.005, then to 0.001) and for the weight decay (.04 to .2).

    Warm-up takes at most ``MAX_WARMUP_FRACTION`` of the run: a short demonstration of a recipe made for 1600 epochs
    would otherwise end before its warm-up does. A shortened warm-up is logged once.

    Args:
        field: key of the optimiser's groups, ``"lr"`` or ``"weight_decay"``. A group without weight decay stays so, and
            one with a true ``"constant_rate"`` keeps its learning rate (:func:`parameter_groups`).
        length: of the training.
        warmup_epochs: length of the rise.
        warmup_factor: first value as a share of the peak, in [0, 1].
        start: the peak; None takes each group's value at the time when the trainer is built.
        final: last value; None takes ``final_factor`` times the peak.
        final_factor: last value as a share of the peak; 0 where neither is given.

    Raises:
        ValueError: when a value is out of range, or both ``final`` and ``final_factor`` are given.

    Example:
        >>> from monai_ext.engines import TrainingLength
        >>> length = TrainingLength(samples=10, batch_size=1, epochs=1)
        >>> decay = WarmupCosine("weight_decay", length=length, start=0.04, final=0.2)
        >>> [round(decay.value(iteration, peak=0.04), 3) for iteration in (0, 9)]
        [0.04, 0.2]
    """

    MAX_WARMUP_FRACTION = 0.25

    def __init__(
        self,
        field: str = "lr",
        *,
        length: TrainingLength,
        warmup_epochs: float = 0,
        warmup_factor: float = 0.0,
        start: float | None = None,
        final: float | None = None,
        final_factor: float | None = None,
    ) -> None:
        if field not in ("lr", "weight_decay"):
            raise ValueError(f"The field of a schedule is 'lr' or 'weight_decay'; received {field!r}.")
        if final is not None and final_factor is not None:
            raise ValueError(f"The schedule of {field} takes either final or final_factor, one of them.")
        if warmup_epochs < 0 or not 0 <= warmup_factor <= 1:
            raise ValueError(
                "Warm-up needs warmup_epochs >= 0 and warmup_factor in [0, 1]; "
                f"received {warmup_epochs} and {warmup_factor}."
            )
        if field == "weight_decay" and (start == 0 or warmup_epochs != 0):
            raise ValueError("Weight decay starts above 0 and has no warm-up: groups at 0 are exempt from it.")
        self.field = field
        self.start = start
        self.final = final
        self.final_factor = final_factor
        self.warmup_factor = warmup_factor
        self.total_iterations = length.total_iterations
        self.warmup_iterations = self._limited(round(warmup_epochs * length.epoch_length))

    def _limited(self, warmup_iterations: int) -> int:
        limit = int(self.MAX_WARMUP_FRACTION * self.total_iterations)
        if warmup_iterations > limit:
            logger.warning(
                "The warm-up of %s is shortened from %d to %d iterations: it takes at most %d %% of a run, and this "
                "run has %d iterations.",
                self.field,
                warmup_iterations,
                limit,
                round(100 * self.MAX_WARMUP_FRACTION),
                self.total_iterations,
            )
        return min(warmup_iterations, limit)

    def value(self, iteration: int, peak: float) -> float:
        """Value at an iteration, counted from 0, for a group whose peak is ``peak``."""
        if iteration < self.warmup_iterations:
            return peak * (self.warmup_factor + (1 - self.warmup_factor) * iteration / self.warmup_iterations)
        final = self.final if self.final is not None else peak * (self.final_factor or 0.0)
        steps = max(1, self.total_iterations - 1 - self.warmup_iterations)
        progress = min(1.0, (iteration - self.warmup_iterations) / steps)
        return final + (peak - final) * (1 + math.cos(math.pi * progress)) / 2

    def peaks(self, optimizer: Optimizer) -> list[float | None]:
        """The peak of each group: ``start``, else its present value; None for a group that it leaves alone."""
        present = [float(group[self.field]) for group in optimizer.param_groups]
        exempt = [self._leaves_alone(group) for group in optimizer.param_groups]
        start = self.start
        return [
            None if skip else (value if start is None else start) for value, skip in zip(present, exempt, strict=True)
        ]

    def _leaves_alone(self, group: dict[str, Any]) -> bool:
        return bool(group.get("constant_rate", False)) if self.field == "lr" else group[self.field] == 0

    def apply(self, optimizer: Optimizer, iteration: int, peaks: list[float | None]) -> None:
        """Set the field in every group that has a peak, for the iteration counted from 0."""
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            if peak is not None:
                group[self.field] = self.value(iteration, peak)
