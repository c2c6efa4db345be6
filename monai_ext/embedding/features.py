"""Features of a data set by all processes of a training together, the same in each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from monai_ext.engines.pretraining_trainer import images_of
from monai_ext.errors import DatasetError
from monai_ext.parallel.processes import interleaved, process_count, process_rank

__all__ = ["encode_batches", "evenly_spaced", "joint_features", "pooled"]


def encode_batches(
    encode: Callable[[Tensor], Sequence[Tensor]], batches: Iterable[Any], *, device: torch.device
) -> Iterator[list[Tensor]]:
    """What ``encode`` makes of batch after batch, in float32 on the CPU: the one loop that encodes images.

    Args:
        encode: images (B, C, *spatial) on the device to any number of matrices (B, D).
        batches: images, or dictionaries with such an ``"image"``.
        device: where to encode.
    """
    for batch in batches:
        with torch.no_grad():
            yield [features.float().cpu() for features in encode(images_of(batch).to(device))]


def joint_features(
    encode: Callable[[Tensor], Sequence[Tensor]],
    dataset: Any,
    indices: Sequence[int],
    *,
    batch_size: int,
    device: torch.device,
) -> list[Tensor]:
    """Encode chosen images of a data set, each process its share, and give all of them to every process.

    An error in one process ends all, so that none waits for another. Every process of a distributed run must call this.

    Args:
        encode: images (B, C, *spatial) on the device to any number of matrices (B, D).
        dataset: images (C, *spatial), or dictionaries with such an ``"image"``.
        indices: which of them, in the order of the result.
        batch_size: images at a time in one process.
        device: of this process.

    Returns:
        One matrix (N, D), float32 on the CPU, for each of those that ``encode`` gives.

    Raises:
        DatasetError: another process could not encode its share; the one that could not has its own error.
    """
    own = indices[process_rank() :: process_count()]
    if process_count() == 1:
        return _encode(encode, dataset, own, batch_size=batch_size, device=device)
    outcomes: list[Any] = [None] * process_count()
    try:
        outcome = _encode(encode, dataset, own, batch_size=batch_size, device=device)
    except Exception as error:  # whatever it is, the other processes must not wait for this one
        torch.distributed.all_gather_object(outcomes, str(error))
        raise
    torch.distributed.all_gather_object(outcomes, outcome)
    for rank, share in enumerate(outcomes):
        if isinstance(share, str):
            raise DatasetError(f"Process {rank} of the training could not encode its share of the images: {share}")
    return [interleaved(parts) for parts in zip(*(part for part in outcomes if part), strict=True)]


def evenly_spaced(count: int, *, limit: int) -> list[int]:
    """At most ``limit`` numbers of 0 .. count - 1, at even distances.

    >>> evenly_spaced(10, limit=4)
    [0, 2, 5, 7]
    """
    limit = min(count, limit)
    return [number * count // limit for number in range(limit)]


def pooled(features: Tensor) -> Tensor:
    """Feature vectors (B, D) of vectors, or of maps (B, D, *spatial), which are averaged."""
    return features if features.ndim == 2 else features.flatten(2).mean(dim=2)


def _encode(
    encode: Callable[[Tensor], Sequence[Tensor]],
    dataset: Any,
    indices: Sequence[int],
    *,
    batch_size: int,
    device: torch.device,
) -> list[Tensor]:
    parts = (indices[first : first + batch_size] for first in range(0, len(indices), batch_size))
    batches = (torch.stack([images_of(dataset[index]) for index in part]) for part in parts)
    return [torch.cat(matrices) for matrices in zip(*encode_batches(encode, batches, device=device), strict=True)]
