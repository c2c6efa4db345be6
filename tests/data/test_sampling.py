"""The order of slices, and the loader."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from helpers.slice_files import write_pictures
from monai_ext.data import StreamSampler, endless_loader, open_slices, slice_loader
from monai_ext.data.sampling import lost_worker
from monai_ext.errors import DatasetError, TrainingStoppedError, public_text


def _take(sampler: StreamSampler, count: int) -> list[int]:
    return list(itertools.islice(sampler, count))


@given(samples=st.integers(1, 12), seed=st.integers(0, 2**32), passes=st.integers(1, 4))
def test_every_pass_visits_every_slice_once(samples: int, seed: int, passes: int) -> None:
    stream = _take(StreamSampler(range(samples), seed=seed), samples * passes)
    for start in range(0, len(stream), samples):
        assert sorted(stream[start : start + samples]) == list(range(samples))


def test_passes_differ_and_seeds_differ() -> None:
    stream = _take(StreamSampler(range(50)), 100)
    assert stream[:50] != stream[50:]
    assert stream[:50] != _take(StreamSampler(range(50), seed=1), 50)


@given(position=st.integers(0, 40))
def test_any_position_is_reached_at_once(position: int) -> None:
    sampler = StreamSampler(range(7), seed=2)
    whole = _take(sampler, 60)
    sampler.set_position(position)
    assert _take(sampler, 20) == whole[position : position + 20]


@given(samples=st.integers(1, 11), world_size=st.sampled_from([1, 2, 3, 4]), batch=st.integers(0, 6))
def test_a_global_batch_is_the_same_set_on_any_number_of_processes(samples: int, world_size: int, batch: int) -> None:
    size = 12
    alone = _take(StreamSampler(range(samples)), size * (batch + 1))[-size:]
    share = size // world_size
    shared: list[int] = []
    for rank in range(world_size):
        sampler = StreamSampler(range(samples), rank=rank, world_size=world_size)
        shared += _take(sampler, share * (batch + 1))[-share:]
    assert sorted(shared) == sorted(alone)


def test_the_length_is_one_processs_share_of_a_pass() -> None:
    assert len(StreamSampler(range(10), rank=0, world_size=4)) == 3


def test_the_state_continues_the_stream() -> None:
    sampler, resumed = StreamSampler(range(5)), StreamSampler(range(5))
    sampler.set_position(7)
    resumed.load_state_dict(sampler.state_dict())
    assert resumed.position == 7


def test_a_state_of_other_data_is_refused() -> None:
    with pytest.raises(ValueError, match="seed 0 over 5 slices, now it has seed 0 over 6"):
        StreamSampler(range(6)).load_state_dict(StreamSampler(range(5)).state_dict())


@pytest.mark.parametrize("position", [-1, 3])
def test_a_position_between_two_processes_is_refused(position: int) -> None:
    with pytest.raises(ValueError, match="multiple of the 2 processes"):
        StreamSampler(range(5), rank=1, world_size=2).set_position(position)


def test_an_empty_dataset_is_refused() -> None:
    with pytest.raises(DatasetError, match="empty dataset"):
        StreamSampler([])


def test_a_rank_outside_the_world_is_refused() -> None:
    with pytest.raises(ValueError, match="rank=2"):
        StreamSampler(range(3), rank=2, world_size=2)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", count=9)


def _numbers(batch: torch.Tensor) -> list[int]:
    """Which pictures a batch holds: their gray level is their number."""
    return (batch[:, 0, 0, 0] * 255).round().int().tolist()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_follow_the_stream_and_move_its_position(pictures: Path, num_workers: int) -> None:
    dataset = open_slices(pictures, image_size=14, validation_fraction=0)
    sampler = StreamSampler(dataset)
    expected = _take(sampler, 12)
    loader = slice_loader(dataset, batch_size=4, sampler=sampler, num_workers=num_workers)
    batches = list(itertools.islice(loader, 3))
    assert [batch.shape for batch in batches] == [(4, 1, 16, 16)] * 3
    assert [number for batch in batches for number in _numbers(batch)] == expected
    assert sampler.position == 12
    assert len(loader) == 3


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_loader_tells_which_items_the_latest_batch_is(pictures: Path, num_workers: int) -> None:
    dataset = open_slices(pictures, image_size=14, validation_fraction=0)
    sampler = StreamSampler(dataset)
    sampler.set_position(7)  # a resumed training, whose third batch crosses the end of a pass
    loader = slice_loader(dataset, batch_size=4, sampler=sampler, num_workers=num_workers)
    for batch in itertools.islice(loader, 3):
        assert loader.sample_ids is not None
        assert loader.sample_ids.tolist() == _numbers(batch)
    assert slice_loader(dataset, batch_size=4, num_workers=0).sample_ids is None


@given(position=st.integers(0, 30), rank=st.integers(0, 1))
def test_indices_of_any_position_are_those_of_the_stream(position: int, rank: int) -> None:
    sampler = StreamSampler(range(7), rank=rank, world_size=2)
    assert sampler.indices(2 * position, 5) == _take(sampler, position + 5)[position:]


def test_a_new_iterator_continues_after_what_was_handed_out(pictures: Path) -> None:
    dataset = open_slices(pictures, image_size=14, validation_fraction=0)
    sampler = StreamSampler(dataset)
    expected = _take(sampler, 8)
    loader = slice_loader(dataset, batch_size=2, sampler=sampler, num_workers=1)
    first = list(itertools.islice(loader, 2))
    again = list(itertools.islice(loader, 2))
    assert _numbers(torch.cat(first + again)) == expected


def test_workers_of_a_loader_that_nobody_can_reach_hear_that_they_may_end(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_at_the_end = []
    shut_down = _MultiProcessingDataLoaderIter._shutdown_workers

    def watched(batches: Any) -> None:
        if not batches._shutdown:
            open_at_the_end.extend(queue._close.still_active() for queue in batches._index_queues)
        shut_down(batches)

    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_shutdown_workers", watched)
    loader = slice_loader(open_slices(pictures, image_size=14, validation_fraction=0), batch_size=2, num_workers=2)
    loader.trainer = [loader]  # type: ignore[attr-defined]  # as a trainer and what it trains on refer to each other
    next(iter(loader))
    del loader
    gc.collect()
    assert open_at_the_end
    assert all(open_at_the_end)


def test_without_a_sampler_slices_come_once_and_in_order(pictures: Path) -> None:
    dataset = open_slices(pictures, image_size=14, section="all")
    batches = list(slice_loader(dataset, batch_size=4, num_workers=0))
    assert [_numbers(batch) for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loading_never_touches_the_global_random_stream(pictures: Path, num_workers: int) -> None:
    dataset = open_slices(pictures, image_size=14)
    state = torch.get_rng_state()
    next(iter(slice_loader(dataset, batch_size=2, sampler=StreamSampler(dataset), num_workers=num_workers)))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_picture_is_one_sentence_that_names_it(pictures: Path, num_workers: int) -> None:
    (pictures / "004.png").write_bytes((pictures / "004.png").read_bytes()[:-30])
    dataset = open_slices(pictures, image_size=14, section="all")
    with pytest.raises(DatasetError, match=r"^The picture 004\.png cannot be read: [^\n]*$") as refused:
        list(slice_loader(dataset, batch_size=9, num_workers=num_workers))
    told_elsewhere = "DatasetError: The picture <file> cannot be read: OSError. Replace it"
    assert public_text(refused.value).startswith(told_elsewhere)


def test_the_endless_loader_is_the_loader_on_the_stream(pictures: Path) -> None:
    dataset = open_slices(pictures, image_size=14)
    endless = iter(endless_loader(dataset, batch_size=3, num_workers=0, seed=5))
    stream = iter(slice_loader(dataset, batch_size=3, sampler=StreamSampler(dataset, seed=5), num_workers=0))
    for _ in range(len(dataset)):
        assert torch.equal(next(endless), next(stream))


@pytest.mark.parametrize("batch_size", [0, 3])
def test_a_batch_that_processes_cannot_share_is_refused(pictures: Path, batch_size: int) -> None:
    dataset = open_slices(pictures, image_size=14)
    with pytest.raises(ValueError, match=f"batch of {batch_size} slices cannot be shared by 2 processes"):
        slice_loader(dataset, batch_size=batch_size, sampler=StreamSampler(dataset, rank=0, world_size=2))


def test_the_batch_size_counts_all_processes(pictures: Path) -> None:
    dataset = open_slices(pictures, image_size=14, validation_fraction=0)
    sampler = StreamSampler(dataset, rank=1, world_size=2)
    loader = slice_loader(dataset, batch_size=6, sampler=sampler, num_workers=0)
    assert next(iter(loader)).shape[0] == 3
    assert sampler.position == 6


def test_no_more_workers_than_cores_are_started(pictures: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = open_slices(pictures, image_size=14)
    with caplog.at_level("INFO"):
        loader = slice_loader(dataset, batch_size=1, num_workers=100_000)
    assert 0 < loader.num_workers < 100_000
    assert "CPU cores" in caplog.text


def test_a_negative_number_of_workers_is_refused(pictures: Path) -> None:
    with pytest.raises(ValueError, match="num_workers"):
        slice_loader(open_slices(pictures, image_size=14), batch_size=1, num_workers=-1)


class _Deadly(list):  # type: ignore[type-arg]
    """Images of which one gets its reader killed, as a system that is short of memory does."""

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if index == 3 and torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_a_reader_that_is_killed_for_memory_ends_the_reading_with_what_to_do() -> None:
    images = _Deadly(torch.rand(8, 1, 4, 4))
    with pytest.raises(TrainingStoppedError, match=r"because memory ran out.*fewer num_workers") as stopped:
        list(slice_loader(images, batch_size=2, num_workers=1))
    assert "DataLoader worker" in str(stopped.value)
    assert lost_worker(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


def test_a_connection_that_a_killed_reader_broke_is_told_as_the_reader_that_was_killed(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(batches: Any) -> None:
        os.kill(batches._workers[0].pid, signal.SIGKILL)
        with contextlib.suppress(RuntimeError):  # PyTorch's, which comes by a signal when the process has ended
            batches._workers[0].join()
        raise ConnectionResetError(104, "Connection reset by peer")

    loader = slice_loader(open_slices(pictures, image_size=14, validation_fraction=0), batch_size=2, num_workers=1)
    batches = iter(loader)
    next(batches)
    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_next_data", break_off)
    with pytest.raises(TrainingStoppedError, match=r"ended from outside.* fewer num_workers"):
        next(batches)


def test_an_error_of_the_system_with_all_readers_alive_stays_what_it_is(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(batches: Any) -> None:
        raise OSError(28, "No space left on device")

    loader = slice_loader(open_slices(pictures, image_size=14, validation_fraction=0), batch_size=2, num_workers=1)
    batches = iter(loader)
    next(batches)
    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_next_data", fail)
    with pytest.raises(OSError, match="No space left"):
        next(batches)


def test_full_shared_memory_is_told_apart_from_full_memory() -> None:
    """PyTorch's own words for a bus error of a worker, which is what a container with a small /dev/shm gives."""
    said = (
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out of"
        " shared memory. Please try to raise your shared memory limit."
    )
    assert "--shm-size" in str(lost_worker(RuntimeError(said)))


class _Large(list):  # type: ignore[type-arg]
    """Images of which one does not fit into what its reader may take."""

    def __init__(self, images: torch.Tensor, allocate: Callable[[int], object]) -> None:
        super().__init__(images)
        self._allocate = allocate

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if index == 3 and torch.utils.data.get_worker_info() is not None:
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (2**34 if most < 0 else min(2**34, most), most))
            self._allocate(2**35)
        return super().__getitem__(index)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
@pytest.mark.parametrize("allocate", [bytearray, lambda size: np.empty(size, np.uint8), torch.empty])
def test_a_reader_that_gets_no_memory_ends_the_reading_with_what_to_do(allocate: Callable[[int], object]) -> None:
    images = _Large(torch.rand(8, 1, 4, 4), allocate)
    with pytest.raises(TrainingStoppedError, match=r"given no more memory \(.*fewer num_workers") as stopped:
        list(slice_loader(images, batch_size=2, num_workers=1))
    assert "Traceback" not in str(stopped.value)
