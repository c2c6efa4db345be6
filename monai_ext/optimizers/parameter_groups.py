"""Which parameters decay: matrices and kernels do; biases, norms and mask tokens do not."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

__all__ = ["parameter_groups"]

_MASK_TOKEN = re.compile(r"(^|\.)[a-z_]*mask_tokens?(\.\d+)?$")


def parameter_groups(network: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimiser: trainable parameters with weight decay, and those without.

    Decay pulls weights to zero, which makes no sense for scales and offsets (parameters of at most one dimension,
    anything named ``bias``) nor for mask tokens, which stand for a mean feature (``mask_token``, ``mask_tokens.0``).
    Every trainable parameter is in exactly one group, shared ones once; frozen ones are in none.

    Args:
        network: whose parameters to sort, by name and shape.
        weight_decay: of the first group; the second has 0, at which schedules leave it.

    Raises:
        ValueError: when the network has nothing to train, or ``weight_decay`` is negative.

    Example:
        >>> [len(group["params"]) for group in parameter_groups(nn.Linear(3, 2), weight_decay=0.04)]
        [1, 1]
    """
    if weight_decay < 0:
        raise ValueError(f"Weight decay must not be negative; received {weight_decay}.")
    trainable = [(name, param) for name, param in network.named_parameters() if param.requires_grad]
    if not trainable:
        raise ValueError(f"{type(network).__name__} has no parameter that requires a gradient: nothing can be trained.")
    exempt = {name for name, param in trainable if _is_exempt(name, param)}
    groups = [
        {"params": [param for name, param in trainable if name not in exempt], "weight_decay": weight_decay},
        {"params": [param for name, param in trainable if name in exempt], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _is_exempt(name: str, param: nn.Parameter) -> bool:
    return param.dim() <= 1 or name.rpartition(".")[2] == "bias" or _MASK_TOKEN.search(name) is not None
