"""The order in which slices are read: an endless stream that is the same after a stop and on any number of devices."""

from __future__ import annotations

import logging
import os
import signal
import sys
import weakref
from collections.abc import Iterator, Mapping, Sized
from itertools import islice
from typing import Any

import torch
import torch.distributed
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler, default_collate, get_worker_info

from monai_ext.errors import DatasetError, ReportedError, TrainingStoppedError

__all__ = ["SliceLoader", "StreamSampler", "endless_loader", "lost_worker", "slice_loader"]

logger = logging.getLogger(__name__)

_LATE_SECONDS = 0.5
_WITH_LESS_MEMORY = "Take fewer num_workers or smaller batches, then resume from the last checkpoint."


class StreamSampler(Sampler[int]):
    """An endless stream of indices: one random permutation of the dataset after the other.

    The stream is a function of the seed alone. Position p of the stream lies in pass ``p // samples``, whose
    permutation is drawn from (seed, pass), hence any position is reached at once, which is what resuming needs. Of W
    processes, the one of rank r takes the positions p with ``p % W == r``: the k-th batch over all processes is the
    same set of slices whatever W is, provided that W divides the batch size.

    Args:
        dataset: anything with a length.
        seed: seed of the permutations.
        rank, world_size: this process among all; taken from ``torch.distributed`` when omitted (0 of 1 without it).

    Raises:
        DatasetError: the dataset is empty.
        ValueError: the rank is not below the world size.

    Example:
        >>> stream = iter(StreamSampler(range(3), seed=0))
        >>> sorted(next(stream) for _ in range(3))
        [0, 1, 2]
    """

    def __init__(
        self, dataset: Sized, *, seed: int = 0, rank: int | None = None, world_size: int | None = None
    ) -> None:
        initialized = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.samples = len(dataset)
        self.seed = seed
        self.rank = rank if rank is not None else torch.distributed.get_rank() if initialized else 0
        self.world_size = world_size or (torch.distributed.get_world_size() if initialized else 1)
        self._position = 0
        self._latest_permutation: tuple[int, list[int]] = (-1, [])
        if self.samples == 0:
            raise DatasetError("Slices cannot be drawn from an empty dataset: give a folder that holds some.")
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank={self.rank} is not within 0 .. {self.world_size - 1}, the ranks of world_size.")

    def __len__(self) -> int:
        """Samples of one pass over the dataset that fall to this process, rounded up."""
        return -(-self.samples // self.world_size)

    def __iter__(self) -> Iterator[int]:
        """Yield this process's indices, without end, from the current position on."""
        return self._indices_from(self._position)

    def indices(self, position: int, count: int) -> list[int]:
        """This process's ``count`` indices from a position of the stream on, whatever the current one is."""
        return list(islice(self._indices_from(position), count))

    def _indices_from(self, position: int) -> Iterator[int]:
        position += self.rank
        current, order = -1, []
        while True:
            passed, offset = divmod(position, self.samples)
            if passed != current:
                current, order = passed, self.permutation(passed)
            yield order[offset]
            position += self.world_size

    def permutation(self, passed: int) -> list[int]:
        """Order of the dataset in pass number ``passed`` (counted from 0)."""
        if self._latest_permutation[0] != passed:
            self._latest_permutation = (passed, self._draw_permutation(passed))
        return self._latest_permutation[1]

    def _draw_permutation(self, passed: int) -> list[int]:
        mixed = (self.seed * 0x9E3779B97F4A7C15 + passed * 0xBF58476D1CE4E5B9) % 2**63
        generator = torch.Generator().manual_seed(mixed)
        return torch.randperm(self.samples, generator=generator).tolist()

    @property
    def position(self) -> int:
        """Samples that all processes together have handed out: where the next iterator starts."""
        return self._position

    def set_position(self, samples_seen: int) -> None:
        """Start the next iterator after ``samples_seen`` samples, counted over all processes.

        Raises:
            ValueError: it is negative, or no multiple of the number of processes.
        """
        if samples_seen < 0 or samples_seen % self.world_size:
            raise ValueError(
                f"The stream cannot be continued after {samples_seen} samples: the number must be a multiple of the"
                f" {self.world_size} processes, and not negative."
            )
        self._position = samples_seen

    def state_dict(self) -> dict[str, int]:
        """Position, with the seed and the dataset's length that it is valid for."""
        return {"position": self._position, "seed": self.seed, "samples": self.samples}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where :meth:`state_dict` was taken.

        Raises:
            ValueError: it was taken with another seed or from a dataset of another length.
        """
        if (state["seed"], state["samples"]) != (self.seed, self.samples):
            raise ValueError(
                f"The stream of slices cannot be continued: it had seed {state['seed']} over {state['samples']} slices,"
                f" now it has seed {self.seed} over {self.samples}. Resume with the same data and seed."
            )
        self.set_position(state["position"])


class SliceLoader(DataLoader[torch.Tensor]):
    """A ``DataLoader`` that keeps its sampler's position and says in one sentence which file could not be read.

    Workers read ahead, so only what was handed out counts: before each batch is yielded, a :class:`StreamSampler` is
    moved behind it. Made by :func:`slice_loader`.
    """

    _latest: tuple[int, int] = (0, 0)
    """Position and number of images of the batch that was handed out last."""
    _watched: Any = None
    """The iterator whose workers end with this loader."""

    @property
    def sample_ids(self) -> torch.Tensor | None:
        """Which items of the dataset the batch is that was handed out last, (B,) on the CPU; None without a stream."""
        return torch.tensor(self.sampler.indices(*self._latest)) if isinstance(self.sampler, StreamSampler) else None

    def __iter__(self) -> Iterator[torch.Tensor]:  # type: ignore[override]
        """Yield batches (B, C, S, S); a worker's :class:`~monai_ext.errors.ReportedError` is raised as it was there."""
        batches: Any = super().__iter__()
        self._end_workers_with_it(batches)
        try:
            for batch in batches:
                if isinstance(batch, ReportedError):
                    raise batch
                if isinstance(self.sampler, StreamSampler):
                    self._latest = (self.sampler.position, _images_in(batch))
                    self.sampler.set_position(self.sampler.position + _images_in(batch) * self.sampler.world_size)
                yield batch
        except (RuntimeError, OSError, EOFError) as error:
            broken = self.num_workers > 0 and not isinstance(error, (RuntimeError, ReportedError))
            lost = _told_late(batches) if broken else lost_worker(error)
            if lost is None:
                raise
            raise lost from error

    def _end_workers_with_it(self, batches: Any) -> None:
        """End its workers as soon as nobody can reach this loader any more.

        PyTorch ends them when its iterator is deleted. Where a trainer and its loader refer to each other, Python
        closes the queues before that, the workers never hear of it, and each of them is waited for in vain, for 5 s.
        """
        if self.num_workers > 0 and batches is not self._watched:
            self._watched = batches
            weakref.finalize(self, _end_workers, batches, os.getpid())


def _end_workers(batches: Any, process: int) -> None:
    """Forked processes have the loader too, but not its workers."""
    if os.getpid() == process:
        batches._shutdown_workers()


def _images_in(batch: Any) -> int:
    return len(batch["image"] if isinstance(batch, Mapping) else batch)


def lost_worker(error: BaseException) -> TrainingStoppedError | None:
    """What to say when a process that reads images was ended by somebody else; None for any other error.

    PyTorch notices it in a signal handler, so that its ``RuntimeError`` may come out of any line of a training.
    """
    if not isinstance(error, RuntimeError) or not str(error).startswith("DataLoader worker"):
        return None
    said = str(error).split(". ")[0].strip(".")
    if "shared memory" in str(error):
        return TrainingStoppedError(
            "A process that reads images was ended because the memory that processes share (/dev/shm) is full ({said})."
            " Make it larger (docker run --shm-size=8g), or take num_workers 0 or smaller batches, then resume from the"
            " last checkpoint.",
            said=said,
        )
    return _ended_from_outside(said)


def _ended_from_outside(said: str) -> TrainingStoppedError:
    return TrainingStoppedError(
        "A process that reads images was ended from outside, most often by the system because memory ran out ({said})."
        f" {_WITH_LESS_MEMORY}",
        said=said,
    )


def _told_late(batches: Any) -> TrainingStoppedError | None:
    """What to say when a worker has died that was about to hand over memory: the connection to it breaks first.

    Its workers are ended, so that PyTorch's signal handler does not raise once more out of what comes after.
    """
    try:
        for worker in batches._workers:
            worker.join(timeout=_LATE_SECONDS)
            if worker.exitcode not in (None, 0):
                batches._shutdown_workers()
                return _ended_from_outside(f"DataLoader worker (pid {worker.pid}) ended with {worker.exitcode}")
    except RuntimeError as error:  # of PyTorch's signal handler
        return lost_worker(error)
    return None


class _ErrorsAsItems(Dataset[Any]):
    """In a worker, an error that says what may be told elsewhere becomes the item; so does a lack of memory.

    PyTorch carries the text of errors alone, with the worker's traceback, and makes a new error of it.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)  # type: ignore[arg-type]

    def __getitem__(self, item: int) -> Any:
        try:
            return self._dataset[item]
        except ReportedError as error:
            if get_worker_info() is None:
                raise
            return error
        except (MemoryError, RuntimeError) as error:
            if get_worker_info() is None or not _is_lack_of_memory(error):
                raise
            return _no_memory(error)


def _collate(items: list[Any]) -> Any:
    """A batch, or the first error among its items."""
    errors = [item for item in items if isinstance(item, ReportedError)]
    if errors:
        return errors[0]
    try:
        return default_collate(items)
    except (MemoryError, RuntimeError) as error:
        if get_worker_info() is None or not _is_lack_of_memory(error):
            raise
        return _no_memory(error)


def _is_lack_of_memory(error: BaseException) -> bool:
    """PyTorch has no type of its own for it on the CPU."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _no_memory(error: BaseException) -> TrainingStoppedError:
    return TrainingStoppedError(
        f"A process that reads images was given no more memory ({{reason}}). {_WITH_LESS_MEMORY}", reason=error
    )


def slice_loader(
    dataset: Dataset[torch.Tensor],
    *,
    batch_size: int,
    sampler: StreamSampler | None = None,
    num_workers: int = 2,
    pin_memory: bool | None = None,
) -> SliceLoader:
    """Batches of slices for training or evaluation.

    The loader has a generator of its own, hence it never touches PyTorch's global one: what a training step draws
    does not depend on how the data is read.

    Args:
        dataset: items (C, S, S), as of :func:`~monai_ext.data.open_slices`.
        batch_size: slices of one optimiser step over all processes; each loads ``batch_size / world_size`` of them.
        sampler: the endless stream to train on; the slices in order, once, when omitted.
        num_workers: processes that read ahead; at most the number of CPU cores are used. 0 reads in this process.
        pin_memory: page-locked batches for a faster copy to a GPU; when omitted, wherever CUDA is there.

    Returns:
        A loader of float32 tensors (B, C, S, S).

    Raises:
        ValueError: the batch size is not positive or not divisible by the number of processes.
    """
    world_size = sampler.world_size if sampler is not None else 1
    if batch_size < 1 or batch_size % world_size:
        raise ValueError(
            f"A batch of {batch_size} slices cannot be shared by {world_size} processes: batch_size counts the slices"
            " of all processes together and must be a positive multiple of their number."
        )
    workers = _available_workers(num_workers)
    return SliceLoader(
        _ErrorsAsItems(dataset) if workers else dataset,
        collate_fn=_collate,
        batch_size=batch_size // world_size,
        sampler=sampler if sampler is not None else SequentialSampler(dataset),  # type: ignore[arg-type]
        num_workers=workers,
        pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        generator=torch.Generator().manual_seed(0),
        worker_init_fn=_outlive_signals,
    )


def _outlive_signals(worker: int) -> None:
    """Let the training decide what Ctrl-C and a lost terminal mean, which the system tells to its workers as well.

    It needs them until it has saved. A worker whose training is gone ends by itself.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def endless_loader(
    dataset: Dataset[torch.Tensor], *, batch_size: int, num_workers: int = 2, seed: int = 0
) -> SliceLoader:
    """Batches for training, without end: :func:`slice_loader` on a :class:`StreamSampler`.

    Args:
        dataset: what is trained on.
        batch_size: images of one optimiser step over all processes.
        num_workers: processes that read ahead.
        seed: of the order.
    """
    sampler = StreamSampler(dataset, seed=seed)  # type: ignore[arg-type]
    return slice_loader(dataset, batch_size=batch_size, sampler=sampler, num_workers=num_workers)


def _available_workers(requested: int) -> int:
    """Not more processes than this process may use cores: more of them only take turns."""
    if requested < 0:
        raise ValueError(f"num_workers counts processes, 0 or more, but {requested} was given.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if requested > cores:
        logger.info("Slices are read by %d processes, not %d: there are %d CPU cores.", cores, requested, cores)
    return min(requested, cores)
