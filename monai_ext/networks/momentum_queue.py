"""A first-in, first-out memory of embeddings of earlier batches."""

from __future__ import annotations

import logging
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MomentumQueue", "fitting_queue", "fitting_queue_size"]

logger = logging.getLogger(__name__)

UNKNOWN = -1
"""Id of an embedding that is of no known sample."""


class MomentumQueue(nn.Module):
    """Ring of the newest embeddings, with which MoCo compares (He et al. 2020, section 3.2) and SwAV balances.

    The embeddings, the place of the next one, and how many were written since the start are buffers: they are saved
    with the network, so that a resumed training goes on with the same ring. Until it was filled once it holds random
    directions in the places not yet written. A batch need not divide the size; what does not fit wraps around.

    Beside each embedding stands the id of the sample that it is of, so that a sample's own embeddings can be told from
    those of others (:meth:`is_own`).

    Args:
        size: K, number of embeddings.
        features: D, their length.
        sample_ids: keep ids.

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
    sample_ids: Tensor | None

    def __init__(self, size: int, *, features: int = 128, sample_ids: bool = True) -> None:
        super().__init__()
        if size < 1 or features < 1:
            raise ValueError(f"A queue needs a size and features of at least 1; received {size} and {features}.")
        self.register_buffer("embeddings", F.normalize(torch.randn(size, features), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.register_buffer("written", torch.zeros((), dtype=torch.long))
        self.register_buffer("sample_ids", torch.full((size,), UNKNOWN) if sample_ids else None)

    @property
    def size(self) -> int:
        """K, number of embeddings."""
        return len(self.embeddings)

    @property
    def settings(self) -> dict[str, int]:
        """What a run is described by, as plain values."""
        return {"queue_size": self.size}

    @property
    def is_full(self) -> bool:
        """Whether every place was written since the start."""
        return int(self.written) >= self.size

    def is_own(self, sample_ids: Tensor) -> Tensor:
        """(B, K) boolean, True where an embedding is of the sample of ``sample_ids`` (B,); never for unknown ones."""
        if self.sample_ids is None:
            return torch.zeros(len(sample_ids), self.size, dtype=torch.bool, device=sample_ids.device)
        return (sample_ids[:, None] == self.sample_ids) & (sample_ids[:, None] != UNKNOWN)

    @torch.no_grad()
    def enqueue(self, embeddings: Tensor, sample_ids: Tensor | None = None) -> None:
        """Replace the oldest embeddings by ``embeddings``, (B, D), the last row being the newest.

        Args:
            embeddings: of any precision; gradients are cut.
            sample_ids: (B,) whole numbers, 0 or more, the same for every embedding of a sample; unknown when omitted.

        Raises:
            ValueError: when there are more of them than places, they have another length, or not one id each.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.embeddings.shape[1] or len(embeddings) > self.size:
            raise ValueError(
                f"A queue of {self.size} embeddings of length {self.embeddings.shape[1]} received "
                f"{tuple(embeddings.shape)}: it takes (B, {self.embeddings.shape[1]}) with B at most {self.size}. Use "
                "a larger queue or a smaller batch, counted over all processes."
            )
        if sample_ids is not None and sample_ids.shape != embeddings.shape[:1]:
            raise ValueError(
                f"Each of {len(embeddings)} embeddings is of one sample; received ids of shape "
                f"{tuple(sample_ids.shape)}."
            )
        places = (self.pointer + torch.arange(len(embeddings), device=self.pointer.device)) % self.size
        self.embeddings[places] = embeddings.to(self.embeddings.dtype)
        if self.sample_ids is not None:
            self.sample_ids[places] = UNKNOWN if sample_ids is None else sample_ids.to(self.sample_ids)
        self.pointer.copy_((self.pointer + len(embeddings)) % self.size)
        self.written.add_(len(embeddings))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Take a state from before there were ids, as one of unknown samples, and say so."""
        name = f"{prefix}sample_ids"
        if self.sample_ids is not None and f"{prefix}embeddings" in state_dict and name not in state_dict:
            logger.warning(
                "The queue %s was saved without the ids of its samples, by an older version of this project: its %d "
                "keys count as keys of other images, also those that are of a query's own image, until they are "
                "replaced.",
                prefix.rstrip(".") or "that is loaded",
                len(state_dict[f"{prefix}embeddings"]),
            )
            state_dict[name] = torch.full_like(self.sample_ids, UNKNOWN)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def fitting_queue(size: int, *, samples: int, batch_size: int, features: int = 128) -> MomentumQueue:
    """A queue of embeddings of length ``features``, of the size that :func:`fitting_queue_size` gives."""
    return MomentumQueue(fitting_queue_size(size, samples=samples, batch_size=batch_size), features=features)


def fitting_queue_size(size: int, *, samples: int, batch_size: int) -> int:
    """Size of MoCo's queue for a data set: at most one pass over the data, without the batch itself.

    A larger queue would hold several keys of each image and hardly one of an image that a shorter one lacks: more to
    compare with, and older, but nothing new. That no image's own keys are among its negatives does not depend on the
    size: :class:`~monai_ext.networks.MoCo` masks them. A published size of 65,536 is meant for a million images.

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
        why = "a longer one would hold several keys of the same images" if fitting < size else "a batch must fit in it"
        logger.warning(
            "The queue holds %d keys, not %d: the training set has %d images, a batch %d, and %s.",
            fitting,
            size,
            samples,
            batch_size,
            why,
        )
    return fitting
