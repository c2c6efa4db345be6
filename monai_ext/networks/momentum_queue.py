"""A first-in, first-out memory of embeddings of earlier batches."""

from __future__ import annotations

import logging

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MomentumQueue", "fitting_queue_size"]

logger = logging.getLogger(__name__)


class MomentumQueue(nn.Module):
    """Ring of the newest embeddings, with which MoCo compares (He et al. 2020, section 3.2) and SwAV balances.

    The embeddings, the place of the next one, and how many were written since the start are buffers: they are saved
    with the network, so that a resumed training goes on with the same ring. Until it was filled once it holds random
    directions in the places not yet written. A batch need not divide the size; what does not fit wraps around.

    Args:
        size: K, number of embeddings.
        features: D, their length.

    Raises:
        ValueError: when a number is below 1.

    Example:
        >>> queue = MomentumQueue(3, features=1)
        >>> queue.enqueue(torch.tensor([[1.0], [2.0]]))
        >>> queue.enqueue(torch.tensor([[3.0], [4.0]]))
        >>> queue.embeddings.flatten().tolist(), int(queue.pointer)
        ([4.0, 2.0, 3.0], 1)
    """

    embeddings: Tensor
    pointer: Tensor
    written: Tensor

    def __init__(self, size: int, *, features: int = 128) -> None:
        super().__init__()
        if size < 1 or features < 1:
            raise ValueError(f"A queue needs a size and features of at least 1; received {size} and {features}.")
        self.register_buffer("embeddings", F.normalize(torch.randn(size, features), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.register_buffer("written", torch.zeros((), dtype=torch.long))

    @property
    def size(self) -> int:
        """K, number of embeddings."""
        return len(self.embeddings)

    @property
    def is_full(self) -> bool:
        """Whether every place was written since the start."""
        return int(self.written) >= self.size

    @torch.no_grad()
    def enqueue(self, embeddings: Tensor) -> None:
        """Replace the oldest embeddings by ``embeddings``, (B, D), the last row being the newest.

        Raises:
            ValueError: when there are more of them than places, or they have another length.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.embeddings.shape[1] or len(embeddings) > self.size:
            raise ValueError(
                f"A queue of {self.size} embeddings of length {self.embeddings.shape[1]} received "
                f"{tuple(embeddings.shape)}: it takes (B, {self.embeddings.shape[1]}) with B at most {self.size}. Use "
                "a larger queue or a smaller batch, counted over all processes."
            )
        places = (self.pointer + torch.arange(len(embeddings), device=self.pointer.device)) % self.size
        self.embeddings[places] = embeddings.to(self.embeddings.dtype)
        self.pointer.copy_((self.pointer + len(embeddings)) % self.size)
        self.written.add_(len(embeddings))


def fitting_queue_size(size: int, *, samples: int, batch_size: int) -> int:
    """Size of MoCo's queue for a data set: at most one pass over the data, without the batch itself.

    With a larger queue the keys of an image's own earlier views would be among its negatives, and the loss would push
    an image away from itself. A published size of 65,536 is meant for a million images.

    Args:
        size: wanted number of keys.
        samples: images in the training set.
        batch_size: images of one optimiser step over all processes.

    Returns:
        ``size``, or ``samples - batch_size`` where that is smaller (and at least one batch), which is logged.

    Example:
        >>> fitting_queue_size(65536, samples=1000, batch_size=128)
        872
    """
    fitting = max(batch_size, min(size, samples - batch_size))
    if fitting != size:
        why = "a longer one would hold an image's own keys as negatives" if fitting < size else "a batch must fit in it"
        logger.warning(
            "The queue holds %d keys, not %d: the training set has %d images, a batch %d, and %s.",
            fitting,
            size,
            samples,
            batch_size,
            why,
        )
    return fitting
