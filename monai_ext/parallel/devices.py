"""Where to compute, and in which floating-point format."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

import torch

__all__ = ["Precision", "select_device"]

_AUTOCAST_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def select_device(name: str | None = None) -> torch.device:
    """The device of this process: the one named, else its own GPU where CUDA is present, else the CPU.

    In a distributed run (``torchrun`` sets ``LOCAL_RANK``) each process of a machine gets the GPU of its local rank,
    which also becomes PyTorch's current one.

    Args:
        name: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...; None chooses.

    Raises:
        ValueError: when the device does not exist on this machine.

    Example:
        >>> select_device("cpu")
        device(type='cpu')
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type != "cuda":
        return device
    index = int(os.environ.get("LOCAL_RANK", 0)) if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise ValueError(
            f"GPU {index} was chosen (device {name!r}, LOCAL_RANK {os.environ.get('LOCAL_RANK', 'not set')}), but this "
            f"machine has {torch.cuda.device_count()}: start at most that many processes, or choose 'cpu'."
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


class Precision:
    """Autocast and gradient scaling of a training, for any device.

    ``bf16`` needs no scaling of gradients; ``fp16`` scales the loss, since small gradients would become zero
    (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2), and skips a step whose gradients overflow.

    Args:
        name: ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        device: on which the network runs.

    Raises:
        ValueError: when the name is another.

    Example:
        >>> Precision("bf16", device=torch.device("cpu")).scaler.is_enabled()
        False
    """

    def __init__(self, name: str = "fp32", *, device: torch.device) -> None:
        if name not in _AUTOCAST_DTYPES:
            raise ValueError(f"The precision is one of {', '.join(_AUTOCAST_DTYPES)}; received {name!r}.")
        self.name = name
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[None]:
        """Context in which the network's forward pass runs."""
        return torch.autocast(self.device.type, dtype=_AUTOCAST_DTYPES[self.name], enabled=self.name != "fp32")
