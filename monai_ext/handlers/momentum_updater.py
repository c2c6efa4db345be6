"""Let the teacher follow the student after every optimiser step."""

from __future__ import annotations

import math

from monai.engines.utils import IterationEvents

from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.parallel.processes import unwrap

__all__ = ["MomentumUpdater"]


class MomentumUpdater:
    r"""Call ``network.update_teacher(decay)`` after each step, with a decay that is constant or rises to 1.

    The rising one is BYOL's (Grill et al. 2020, section 3.1): at step k = 0 .. K-1 of K steps in all,

    .. math:: \tau_k = 1 - (1 - \tau_0) (\cos(\pi k / K) + 1) / 2

    It depends on the step and the training's length alone, so that a resumed training follows the same curve.

    Args:
        decay: share of its weights that the teacher keeps in a step, in [0, 1]; :math:`\tau_0` of the rising schedule.
            0.999 in MoCo, 0.996 in BYOL.
        schedule: ``"constant"`` or ``"cosine"``.

    Raises:
        ValueError: when ``decay`` is out of range, or there is no such schedule.

    Example:
        >>> updater = MomentumUpdater(0.99, schedule="cosine")
        >>> [round(updater.value(step, steps=100), 3) for step in (0, 50, 100)]
        [0.99, 0.995, 1.0]
    """

    def __init__(self, decay: float = 0.996, *, schedule: str = "constant") -> None:
        if not 0.0 <= decay <= 1.0:
            raise ValueError(f"The teacher keeps a share of its old weights within [0, 1]; received decay={decay}.")
        if schedule not in ("constant", "cosine"):
            raise ValueError(f"The schedule of the decay is 'constant' or 'cosine'; received {schedule!r}.")
        self.decay = decay
        self.schedule = schedule

    def attach(self, engine: PretrainingTrainer) -> None:
        """Update after each step of the optimiser."""
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self._update)

    def value(self, step: int, *, steps: int) -> float:
        """The decay at a step, counted from 0, of ``steps`` in all."""
        if self.schedule == "constant":
            return self.decay
        return 1.0 - (1.0 - self.decay) * (math.cos(math.pi * step / steps) + 1.0) / 2.0

    def _update(self, engine: PretrainingTrainer) -> None:
        decay = self.value(engine.state.iteration - 1, steps=engine.length.total_iterations)
        unwrap(engine.network).update_teacher(decay)
