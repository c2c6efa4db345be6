"""What contrastive methods need of the other processes: their part of the joint batch."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["all_reduce", "broadcast", "gather", "own_part", "process_count"]


def process_count() -> int:
    """Number of processes that train together, 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@torch.no_grad()
def gather(part: Tensor) -> Tensor:
    """Rows of all processes, rank after rank; every process holds as many. No gradient flows back."""
    if process_count() == 1:
        return part.detach()
    part = part.detach().contiguous()  # parts are received in the layout in which they are sent
    parts = [torch.empty_like(part) for _ in range(process_count())]
    dist.all_gather(parts, part)
    return torch.cat(parts)


def own_part(joint: Tensor) -> Tensor:
    """This process's rows of what :func:`gather` gives."""
    return joint.chunk(process_count())[dist.get_rank()] if process_count() > 1 else joint


def broadcast(values: Tensor) -> Tensor:
    """The first process's values, in place."""
    if process_count() > 1:
        dist.broadcast(values, src=0)
    return values


def all_reduce(values: Tensor, *, maximum: bool = False) -> Tensor:
    """Sum, or maximum, over all processes, in place."""
    if process_count() > 1:
        dist.all_reduce(values, op=dist.ReduceOp.MAX if maximum else dist.ReduceOp.SUM)
    return values
