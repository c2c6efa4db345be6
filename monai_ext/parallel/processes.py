"""The processes that train together: who this one is, its part of the joint batch, the network inside its wrappers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

__all__ = [
    "all_reduce",
    "broadcast",
    "decided_by_first",
    "gather",
    "in_process_group",
    "interleaved",
    "own_part",
    "process_count",
    "process_rank",
    "unwrap",
]


_Decision = TypeVar("_Decision")


def process_count() -> int:
    """Number of processes that train together, 1 without a process group."""
    return dist.get_world_size() if in_process_group() else 1


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


def decided_by_first(decide: Callable[[], _Decision]) -> _Decision:
    """What ``decide`` gives in the first process, in every process; an error of the first is raised in all of them.

    Every process of a distributed run must call this. What is decided, and the error, must be picklable.

    Example:
        >>> decided_by_first(lambda: 42)
        42
    """
    if process_count() == 1:
        return decide()
    outcome: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            outcome[0] = decide()
        except Exception as error:  # whatever it is, the other processes must not wait for this one
            outcome[1] = error
    dist.broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise outcome[1]
    decision: _Decision = outcome[0]
    return decision


def all_reduce(values: Tensor, *, maximum: bool = False) -> Tensor:
    """Sum, or maximum, over all processes, in place."""
    if process_count() > 1:
        dist.all_reduce(values, op=dist.ReduceOp.MAX if maximum else dist.ReduceOp.SUM)
    return values


def process_rank() -> int:
    """Rank of this process in the process group, 0 without one: the process that writes and reports."""
    return dist.get_rank() if in_process_group() else 0


def unwrap(network: Any) -> Any:
    """The network inside the wrappers of distributed training and of ``torch.compile``."""
    network = getattr(network, "_orig_mod", network)
    return network.module if isinstance(network, DistributedDataParallel) else network


def interleaved(shares: Sequence[Tensor]) -> Tensor:
    """Rows of all processes in the order of the data, of which process r of W had each W-th from row r on.

    Example:
        >>> interleaved([torch.tensor([0, 2, 4]), torch.tensor([1, 3])])
        tensor([0, 1, 2, 3, 4])
    """
    whole = shares[0].new_empty(sum(map(len, shares)), *shares[0].shape[1:])
    for rank, share in enumerate(shares):
        whole[rank :: len(shares)] = share
    return whole


def in_process_group() -> bool:
    """True between joining and leaving a process group."""
    return dist.is_available() and dist.is_initialized()
