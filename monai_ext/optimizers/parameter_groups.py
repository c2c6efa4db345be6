"""Which parameters decay (matrices and kernels; biases, norms, mask tokens do not), and whose learning rate stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from monai_ext.parallel.processes import unwrap

__all__ = ["parameter_groups"]

_MASK_TOKEN = re.compile(r"(^|\.)[a-z_]*mask_tokens?(\.\d+)?$")


def parameter_groups(
    network: nn.Module, *, weight_decay: float, constant_rate: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Two groups for an optimiser: trainable parameters with weight decay, and those without.

    Decay pulls weights to zero, which makes no sense for scales and offsets (parameters of at most one dimension,
    anything named ``bias``) nor for mask tokens, which stand for a mean feature (``mask_token``, ``mask_tokens.0``).
    Every trainable parameter is in exactly one group, shared ones once; frozen ones are in none.

    Parts of the network may keep their learning rate for the whole training. They get two groups of their own, with a
    true ``"constant_rate"``, at which schedules leave the learning rate alone.

    Args:
        network: whose parameters to sort, by name and shape.
        weight_decay: of the first group; the second has 0, at which schedules leave it.
        constant_rate: names of the network's modules that do not follow the schedule, such as ``["prediction"]``.

    Raises:
        ValueError: when the network has nothing to train, ``weight_decay`` is negative, or a module of
            ``constant_rate`` is not there or has nothing to train.

    Example:
        >>> [len(group["params"]) for group in parameter_groups(nn.Linear(3, 2), weight_decay=0.04)]
        [1, 1]
    """
    if weight_decay < 0:
        raise ValueError(f"Weight decay must not be negative; received {weight_decay}.")
    network = unwrap(network)
    trainable = {name: param for name, param in network.named_parameters() if param.requires_grad}
    if not trainable:
        raise ValueError(f"{type(network).__name__} has no parameter that requires a gradient: nothing can be trained.")
    constant: set[str] = set()
    for module in constant_rate:
        inside = {name for name in trainable if name.startswith(f"{module}.")}
        if not inside:
            raise ValueError(
                f"{type(network).__name__} has no trainable parameters in a module {module!r}, which was to keep its "
                f"learning rate; it has {', '.join(sorted({name.partition('.')[0] for name in trainable}))}."
            )
        constant |= inside
    scheduled = {name: param for name, param in trainable.items() if name not in constant}
    kept = {name: param for name, param in trainable.items() if name in constant}
    return _by_decay(scheduled, weight_decay) + _by_decay(kept, weight_decay, constant_rate=True)


def _by_decay(named: dict[str, nn.Parameter], weight_decay: float, **options: Any) -> list[dict[str, Any]]:
    exempt = {name for name, param in named.items() if _is_exempt(name, param)}
    groups = [
        {"params": [param for name, param in named.items() if name not in exempt], "weight_decay": weight_decay},
        {"params": [param for name, param in named.items() if name in exempt], "weight_decay": 0.0},
    ]
    return [group | options for group in groups if group["params"]]


def _is_exempt(name: str, param: nn.Parameter) -> bool:
    return param.dim() <= 1 or name.rpartition(".")[2] == "bias" or _MASK_TOKEN.search(name) is not None
