"""Join and leave the process group of a distributed run that ``torchrun`` started."""

from __future__ import annotations

import logging
import os

import ignite.distributed as idist
import torch
import torch.distributed

from monai_ext.running_config import refusal

__all__ = ["join_process_group", "leave_process_group"]


def join_process_group(backend: str | None = None) -> None:
    """Meet the other processes; made to be the first step of ``initialize`` in ``multi_gpu_train.json``.

    Every process but the first then logs warnings and errors only. Ignite is told of the group here, in all processes
    at once: its first look is a collective operation, and a handler of the first process alone would wait forever.

    Args:
        backend: ``"nccl"``, ``"gloo"``; None takes NCCL where CUDA is present and gloo on CPUs.

    Raises:
        RuntimeError: the process was not started by ``torchrun``.
    """
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise refusal(
            RuntimeError(
                f"Training on several devices needs what torchrun sets; {', '.join(missing)} is not there. "
                "Start with: torchrun --nproc_per_node=2 -m monai.bundle run --config_file ..."
            )
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    torch.distributed.init_process_group(backend or ("nccl" if torch.cuda.is_available() else "gloo"))
    if idist.get_rank() > 0:
        logging.getLogger().setLevel(logging.WARNING)


def leave_process_group() -> None:
    """Leave it again, made for ``finalize``; nothing happens where there is none."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
