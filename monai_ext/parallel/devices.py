"""Where to compute, and in which floating-point format."""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager
from functools import cached_property

import torch

from monai_ext.parallel.processor import processor

__all__ = ["AUTO", "Precision", "select_device"]

logger = logging.getLogger(__name__)

AUTO = "auto"
"""An option that is chosen by what the machine does best."""

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

    ``auto`` is chosen when it is first needed, and stays: bf16 where the device computes it (processors with AVX-512
    bf16 or AMX, GPUs since Ampere), else fp32. Where bf16 is asked for and has to be emulated, a warning says what that
    costs.

    Args:
        name: ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"auto"``.
        device: on which the network runs.
        fault_on_cpu: why bf16 must not be computed on a CPU, whatever the processor has; None where it may.

    Raises:
        ValueError: when the name is another, or it is bf16 where there is a fault.

    Example:
        >>> Precision("bf16", device=torch.device("cpu")).scaler.is_enabled()
        False
        >>> Precision("auto", device=torch.device("cpu")).name in ("fp32", "bf16")
        True
    """

    def __init__(self, name: str = "fp32", *, device: torch.device, fault_on_cpu: str | None = None) -> None:
        if name not in (*_AUTOCAST_DTYPES, AUTO):
            raise ValueError(f"The precision is one of {', '.join((*_AUTOCAST_DTYPES, AUTO))}; received {name!r}.")
        self.requested = name
        self.device = device
        self.fault: str | None = None
        self._name: str | None = None
        self.heed(fault_on_cpu)

    @property
    def name(self) -> str:
        """What is computed in; never ``"auto"``."""
        if self._name is None:
            self._name = self._choose()
        return self._name

    @cached_property
    def scaler(self) -> torch.amp.GradScaler:
        """Scales losses in fp16, and lets them be in the others."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")

    def heed(self, fault_on_cpu: str | None) -> None:
        """Take note of why bf16 must not be computed on a CPU: ``auto`` becomes fp32 there.

        Args:
            fault_on_cpu: half a sentence; None where there is nothing to say.

        Raises:
            ValueError: when bf16 itself was asked for, on a CPU.
        """
        if fault_on_cpu is None or self.device.type != "cpu":
            return
        if self.requested == "bf16":
            raise ValueError(f"Precision bf16 was asked for, but {fault_on_cpu}. Use fp32, or auto, which chooses.")
        self.fault = fault_on_cpu
        if self._name == "bf16":
            self._name = None

    def keep(self, name: str | None) -> None:
        """Compute as what is continued did, where the choice was left to ``"auto"``.

        Args:
            name: what became of the precision then; unknown names are passed over, and bf16 where it has a fault.
        """
        if self.requested != AUTO or name not in _AUTOCAST_DTYPES or name == self._name:
            return
        if name == "bf16" and self.fault is not None:
            return
        self._name = name
        self.__dict__.pop("scaler", None)
        logger.info("Precision %s is kept: what is continued was computed in it.", name)

    def autocast(self) -> AbstractContextManager[None]:
        """Context in which the network's forward pass runs."""
        return torch.autocast(self.device.type, dtype=_AUTOCAST_DTYPES[self.name], enabled=self.name != "fp32")

    def _choose(self) -> str:
        computes_bf16, reason, slowdown = _bf16_of(self.device)
        if self.requested == AUTO:
            name = "bf16" if computes_bf16 and self.fault is None else "fp32"
            logger.info("Precision auto is %s here: %s.", name, self.fault if computes_bf16 and self.fault else reason)
            return name
        if self.requested == "bf16" and not computes_bf16:
            cost = f"takes about {slowdown} times as long as fp32" if slowdown else "is slow"
            logger.warning(
                "Precision bf16 was asked for, but %s: it is emulated, which %s. Use fp32, or auto, which chooses.",
                reason,
                cost,
            )
        return self.requested


def _bf16_of(device: torch.device) -> tuple[bool, str, str | None]:
    """Whether the device computes bf16, why, and how many times as long as fp32 it takes when emulated, if known."""
    if device.type == "cpu":
        here = processor()
        what = "has" if here.has_bf16 else "has no"
        return here.has_bf16, f"the processor ({here.name}) {what} instructions for bf16", here.bf16_slowdown
    if device.type == "cuda":
        with torch.cuda.device(device):
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return has_bf16, f"the GPU {'computes' if has_bf16 else 'does not compute'} bf16", None
    return False, f"the device {device.type} is not known to compute bf16", None
