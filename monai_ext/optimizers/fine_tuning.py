"""Which learning rate the encoder and the head of a classifier, or the decoder of a segmentation, have by epoch."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["PROTOCOLS", "FineTuningSchedule", "fine_tuning_groups"]

PROTOCOLS = ("gradual", "full", "linear_probe")


def fine_tuning_groups(
    network: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float = 0.0,
    head: str = "fc",
    encoder: nn.Module | None = None,
) -> list[dict[str, Any]]:
    """Two parameter groups for an optimiser, named ``"encoder"`` and ``"head"``.

    Args:
        network: the classifier, or a network for segmentation.
        learning_rate: of both; :class:`FineTuningSchedule` changes that of the encoder.
        weight_decay: of both.
        head: name of the network's last layer, where ``encoder`` is not given.
        encoder: the part of the network that may be pre-trained; all that is not its own is the head, such as a
            decoder.

    Raises:
        ValueError: the network has no parameters of this name, or none besides.
    """
    named = dict(network.named_parameters())
    own = {id(value) for value in ([] if encoder is None else encoder.parameters())}
    is_head = {
        name: id(value) not in own if encoder is not None else bool(f".{name}".rpartition(f".{head}.")[1])
        for name, value in named.items()
    }
    heads = [value for name, value in named.items() if is_head[name]]
    others = [value for name, value in named.items() if not is_head[name]]
    if not heads or not others:
        part = f"a head {head!r}" if encoder is None else "a decoder"
        raise ValueError(
            f"Fine-tuning treats encoder and head differently, but of {type(network).__name__} {len(heads)} parameters"
            f" belong to {part} and {len(others)} to the rest: name its last layer, or give the encoder that it has."
        )
    common = {"lr": learning_rate, "weight_decay": weight_decay}
    return [{"name": "encoder", "params": others, **common}, {"name": "head", "params": heads, **common}]


class FineTuningSchedule:
    """The encoder's learning rate as a fraction of the head's, by epoch.

    ``"gradual"``: 0 for the first epochs, in which the head learns to read the encoder as it is; then
    ``start_fraction``, growing by ``growth`` each epoch until both learn at the same rate. With the defaults of 10, 0.1
    and 2 the fractions of epochs 10 to 16 are 0, 0.1, 0.2, 0.4, 0.8, 1, 1.

    That is what the study (Wolf et al. 2023) asks its library for, by that library's defaults (``BackboneFinetuning``
    of Lightning 1.7). What its code does is something else, since its optimiser has all parameters in one group from
    the start: for ten epochs convolutions are frozen, while scale and shift of batch norms learn at the full rate,
    1e-4; for one epoch everything learns at 1e-4; from then on encoder *and head* stay at a fifth of it, 2e-5, to the
    end. The schedule that was meant is taken here: a head that goes on learning while a pre-trained encoder is let go
    slowly is what the protocol is for; the other one follows from how the groups are made, and slows the head for good.

    ``"full"``: 1 from the beginning. ``"linear_probe"``: 0 to the end.

    Args:
        protocol: one of these, or ``"auto"``: gradual for a pre-trained encoder, full for one that starts at random,
            which would be of no use to a head.
        pretrained: whether the encoder is pre-trained, for ``"auto"``.
        head_only_epochs: epochs before the encoder learns.
        start_fraction: of the first epoch in which it does, within (0, 1].
        growth: factor from one epoch to the next, at least 1.

    Raises:
        ValueError: an unknown protocol, or a number out of range.

    Example:
        >>> schedule = FineTuningSchedule("gradual", head_only_epochs=2, start_fraction=0.5, growth=2)
        >>> [schedule.encoder_fraction(epoch) for epoch in range(1, 6)]
        [0.0, 0.0, 0.5, 1.0, 1.0]
    """

    def __init__(
        self,
        protocol: str = "auto",
        *,
        pretrained: bool = True,
        head_only_epochs: int = 10,
        start_fraction: float = 0.1,
        growth: float = 2.0,
    ) -> None:
        if protocol not in (*PROTOCOLS, "auto"):
            raise ValueError(
                f"A network is fine-tuned by the protocol {', '.join(PROTOCOLS)} or auto; received {protocol!r}."
            )
        if head_only_epochs < 0 or not 0 < start_fraction <= 1 or growth < 1:
            raise ValueError(
                "head_only_epochs is 0 or more, start_fraction within (0, 1] and growth at least 1; received"
                f" {head_only_epochs}, {start_fraction} and {growth}."
            )
        self.protocol = ("gradual" if pretrained else "full") if protocol == "auto" else protocol
        self.head_only_epochs = head_only_epochs
        self.start_fraction = start_fraction
        self.growth = growth

    @property
    def settings(self) -> dict[str, str]:
        """What a run is described by, as plain values."""
        return {"protocol": self.protocol}

    def encoder_fraction(self, epoch: int) -> float:
        """In epoch 1, 2, ...; 0 says that the encoder is frozen."""
        if self.protocol != "gradual":
            return 1.0 if self.protocol == "full" else 0.0
        if epoch <= self.head_only_epochs:
            return 0.0
        return min(1.0, self.start_fraction * self.growth ** (epoch - self.head_only_epochs - 1))
