"""The joint batch of one process is its own; two are in tests/integration/test_contrastive_distributed.py."""

from __future__ import annotations

import torch

from monai_ext.parallel.processes import all_reduce, broadcast, gather, own_part, process_count


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
