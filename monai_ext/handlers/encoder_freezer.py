"""Freeze the encoder of a classifier while only its head learns, and let it learn at its own rate afterwards."""

from __future__ import annotations

import logging
from typing import Any

from ignite.engine import Engine, Events
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from monai_ext.optimizers.fine_tuning import FineTuningSchedule

__all__ = ["EncoderFreezer"]

logger = logging.getLogger(__name__)


class EncoderFreezer:
    """Follow a :class:`~monai_ext.optimizers.FineTuningSchedule` at the start of every epoch.

    The trainer's optimiser has the groups of :func:`~monai_ext.optimizers.fine_tuning_groups`. Where the schedule says
    0, the encoder's parameters get no gradient, and its batch norms use the statistics that they were pre-trained with
    and do not change them. Everything follows from the epoch, so a resumed training needs nothing from this handler.

    Args:
        schedule: the encoder's learning rate as a fraction of the head's.
        frozen_batch_norm: ``"eval"``; or ``"train"`` to let the statistics of a frozen encoder follow the new data, as
            in the study.

    Raises:
        ValueError: ``frozen_batch_norm`` is neither; at the start of the training, when the optimiser lacks the groups.
    """

    def __init__(self, schedule: FineTuningSchedule, *, frozen_batch_norm: str = "eval") -> None:
        if frozen_batch_norm not in ("eval", "train"):
            raise ValueError(f"frozen_batch_norm is 'eval' or 'train'; received {frozen_batch_norm!r}.")
        self.schedule = schedule
        self.frozen_batch_norm = frozen_batch_norm
        self._fraction: float | None = None
        self._hook: RemovableHandle | None = None

    def attach(self, engine: Engine) -> None:
        """Act at the start of the trainer's epochs."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._follow)
        engine.add_event_handler(Events.COMPLETED, self._let_go)

    def _follow(self, engine: Any) -> None:
        groups = {group.get("name"): group for group in engine.optimizer.param_groups}
        if not {"encoder", "head"} <= groups.keys():
            raise ValueError(
                "The encoder's learning rate is set in the optimiser's groups 'encoder' and 'head', which it has not:"
                " make its parameters with monai_ext.optimizers.fine_tuning_groups."
            )
        fraction = self.schedule.encoder_fraction(engine.state.epoch)
        groups["encoder"]["lr"] = fraction * groups["head"]["lr"]
        if (fraction > 0) != (self._fraction is not None and self._fraction > 0) or self._fraction is None:
            self._freeze(engine, groups["encoder"]["params"], frozen=fraction == 0)
        self._fraction = fraction

    def _freeze(self, engine: Any, parameters: list[nn.Parameter], *, frozen: bool) -> None:
        for parameter in parameters:
            parameter.requires_grad_(not frozen)
            if frozen:
                parameter.grad = None
        self._let_go()
        if frozen and self.frozen_batch_norm == "eval":
            # The trainer puts the whole network into training mode before each forward pass.
            self._hook = engine.network.register_forward_pre_hook(_norms_to_eval)
        logger.info("Epoch %d: %s.", engine.state.epoch, "only the head learns" if frozen else "encoder and head learn")

    def _let_go(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


def _norms_to_eval(network: nn.Module, inputs: Any) -> None:
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
