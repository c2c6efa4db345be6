"""The global random streams of all processes, for checkpoints, and a way to leave them untouched."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed

from monai_ext.parallel.processes import process_count, process_rank

__all__ = ["RandomStreams", "part_random_streams", "preserved_random_streams"]

logger = logging.getLogger(__name__)


class RandomStreams:
    """State of the global generators of Python, NumPy and PyTorch (CPU and the process's GPU), of every process.

    Saving is a collective operation: every process of the group must call ``state_dict``, and gets the states of all.
    The state is made of plain numbers and tensors, so that a checkpoint can be read with ``weights_only=True``.

    Example:
        >>> streams = RandomStreams()
        >>> state = streams.state_dict()
        >>> drawn = torch.rand(3)
        >>> streams.load_state_dict(state)
        >>> bool((torch.rand(3) == drawn).all())
        True
    """

    def state_dict(self) -> dict[str, Any]:
        """States of all processes, ``{"ranks": [...]}``."""
        own = _read_streams()
        if process_count() == 1:
            return {"ranks": [own]}
        ranks: list[dict[str, Any] | None] = [None] * process_count()
        torch.distributed.all_gather_object(ranks, own)
        return {"ranks": ranks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put this process's streams back; with another number of processes they go on as seeded, which is logged."""
        if len(state["ranks"]) == process_count():
            _write_streams(state["ranks"][process_rank()])
        else:
            logger.warning(
                "The random streams of %d processes cannot be continued by %d: training goes on, but not exactly as it "
                "would have without the interruption.",
                len(state["ranks"]),
                process_count(),
            )


@contextmanager
def preserved_random_streams() -> Iterator[None]:
    """Context after which the global streams of this process are as they were before."""
    before = _read_streams()
    try:
        yield
    finally:
        _write_streams(before)


def part_random_streams() -> None:
    """Let every process of a distributed run draw views and masks of its own; they are seeded alike."""
    if process_rank() > 0:
        torch.manual_seed(torch.initial_seed() + process_rank())


def _read_streams() -> dict[str, Any]:
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 (it is the global one)
    return {
        "python": random.getstate(),
        "numpy": {
            "kind": str(kind),
            "keys": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached_gaussian": float(cached),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def _write_streams(state: dict[str, Any]) -> None:
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    numpy = state["numpy"]
    keys = numpy["keys"].numpy().astype(np.uint32)
    np.random.set_state(  # noqa: NPY002
        (numpy["kind"], keys, numpy["position"], numpy["has_gauss"], numpy["cached_gaussian"])
    )
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] is not None and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"].cpu())
