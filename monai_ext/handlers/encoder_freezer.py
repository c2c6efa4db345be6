"""Freeze a pre-trained encoder while only the head or decoder on it learns, then let it learn at its own rate."""

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
    0, the encoder's parameters get no gradient; what its batch norms do is chosen. Everything follows from the epoch,
    so a resumed training needs nothing from this handler.

    Args:
        schedule: the encoder's learning rate as a fraction of the head's.
        frozen_batch_norm: what batch norms of a frozen encoder do. ``"eval"``: nothing, they use the statistics that
            they were pre-trained with. ``"train"``: statistics follow the new data, scale and shift stay. ``"learn"``:
            statistics follow, and scale and shift learn at the head's rate, as they do in the study's code.

    Raises:
        ValueError: ``frozen_batch_norm`` is none of these, or ``"learn"`` in a linear probe, which would be none; at
            the start of the training, when the optimiser lacks the groups.
    """

    def __init__(self, schedule: FineTuningSchedule, *, frozen_batch_norm: str = "eval") -> None:
        if frozen_batch_norm not in ("eval", "train", "learn"):
            raise ValueError(f"frozen_batch_norm is 'eval', 'train' or 'learn'; received {frozen_batch_norm!r}.")
        if frozen_batch_norm == "learn" and schedule.protocol == "linear_probe":
            raise ValueError(
                "A linear probe leaves the encoder as it is, so its batch norms cannot learn: take frozen_batch_norm "
                "'eval' or 'train', or the protocol 'gradual'."
            )
        self.schedule = schedule
        self.frozen_batch_norm = frozen_batch_norm
        self._fraction: float | None = None
        self._hook: RemovableHandle | None = None

    def attach(self, engine: Engine) -> None:
        """Act at the start of the trainer's epochs."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._follow)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def _follow(self, engine: Any) -> None:
        groups = {group.get("name"): group for group in engine.optimizer.param_groups}
        if not {"encoder", "head"} <= groups.keys():
            raise ValueError(
                "The encoder's learning rate is set in the optimiser's groups 'encoder' and 'head', which it has not:"
                " make its parameters with monai_ext.optimizers.fine_tuning_groups."
            )
        fraction = self.schedule.encoder_fraction(engine.state.epoch)
        norms_learn = fraction == 0 and self.frozen_batch_norm == "learn"  # the only ones that have gradients then
        groups["encoder"]["lr"] = (1.0 if norms_learn else fraction) * groups["head"]["lr"]
        if (fraction > 0) != (self._fraction is not None and self._fraction > 0) or self._fraction is None:
            self._freeze(engine, groups["encoder"]["params"], frozen=fraction == 0)
        self._fraction = fraction

    def _freeze(self, engine: Any, parameters: list[nn.Parameter], *, frozen: bool) -> None:
        norms = _norm_parameters(engine.network) if self.frozen_batch_norm == "learn" else set()
        own = set(parameters)
        for parameter in parameters:
            learns = not frozen or parameter in norms
            parameter.requires_grad_(learns)
            if not learns:
                parameter.grad = None
        self._let_go()
        if frozen and self.frozen_batch_norm == "eval":
            # The trainer puts the whole network into training mode before each forward pass.
            self._hook = engine.network.register_forward_pre_hook(lambda network, inputs: _norms_to_eval(network, own))
        frozen_part = "only the head and the encoder's batch norms learn" if norms else "only the head learns"
        logger.info("Epoch %d: %s.", engine.state.epoch, frozen_part if frozen else "encoder and head learn")

    def _end(self) -> None:
        """A trainer that runs on, as in a round of federated learning, freezes anew."""
        self._let_go()
        self._fraction = None

    def _let_go(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


def _norm_parameters(network: nn.Module) -> set[nn.Parameter]:
    """Scale and shift of all batch norms."""
    norms = (module for module in network.modules() if isinstance(module, _BatchNorm))
    return {parameter for module in norms for parameter in module.parameters()}


def _norms_to_eval(network: nn.Module, own: set[nn.Parameter]) -> None:
    """Those of the encoder: what a decoder normalises changes while it learns."""
    for module in network.modules():
        if isinstance(module, _BatchNorm) and (not module.affine or module.weight in own):
            module.eval()
