"""The joint batch of one process is its own; two are in tests/integration/test_contrastive_distributed.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from monai_ext.parallel.processes import all_reduce, broadcast, decided_by_first, gather, own_part, process_count


def test_one_process_has_the_whole_batch():
    batch = torch.rand(3, 2, requires_grad=True)
    assert process_count() == 1
    assert torch.equal(gather(batch), batch)
    assert torch.equal(own_part(batch), batch)
    assert not gather(batch).requires_grad


def test_one_process_reduces_and_broadcasts_to_itself():
    values = torch.tensor([1.0, 2.0])
    assert all(function(values).tolist() == [1.0, 2.0] for function in (all_reduce, broadcast))
    assert all_reduce(values, maximum=True).tolist() == [1.0, 2.0]


def refuse() -> None:
    raise OSError("full")


def test_one_process_decides_for_itself():
    assert decided_by_first(lambda: ("a", 1)) == ("a", 1)
    with pytest.raises(OSError, match="full"):
        decided_by_first(refuse)


def _decide(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    decision = decided_by_first(lambda: f"by {rank}")
    try:
        decided_by_first(refuse)
    except OSError as error:
        decision += f", {error}"
    Path(folder, f"told_{rank}").write_text(decision)
    torch.distributed.destroy_process_group()


def test_the_first_process_decides_for_all_and_its_error_is_raised_in_all(tmp_path):
    torch.multiprocessing.start_processes(_decide, args=(str(tmp_path),), nprocs=2, start_method="fork")
    assert {(tmp_path / f"told_{rank}").read_text() for rank in range(2)} == {"by 0, full"}
