"""Keep SwAV's prototypes as they are for the first iterations."""

from __future__ import annotations

from monai.engines.utils import IterationEvents

from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.parallel.processes import unwrap

__all__ = ["PrototypeFreezer"]


class PrototypeFreezer:
    """Drop the gradient of ``network.prototypes`` in the first iterations, which helps at the start of training.

    Counted in iterations (Caron et al. 2020, appendix A), not in epochs: with few slices an epoch is short, with
    many it is long. The optimiser skips a parameter without gradient, its momentum included.

    Args:
        iterations: for so many the prototypes stay; 0 never freezes.

    Raises:
        ValueError: when ``iterations`` is negative.
    """

    def __init__(self, iterations: int = 313) -> None:
        if iterations < 0:
            raise ValueError(f"Prototypes are frozen for 0 iterations or more; received {iterations}.")
        self.iterations = iterations

    def attach(self, engine: PretrainingTrainer) -> None:
        """Act between the backward pass and the step."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._freeze)

    def _freeze(self, engine: PretrainingTrainer) -> None:
        if engine.state.iteration <= self.iterations:
            unwrap(engine.network).prototypes.weight.grad = None
