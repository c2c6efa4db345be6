"""Features by several processes together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed
from torch import Tensor

from helpers.small_training import SmallPainter, small_evaluator, small_images, small_length, small_trainer
from helpers.two_processes import run_two_processes
from monai_ext.embedding.features import evenly_spaced, joint_features, pooled
from monai_ext.engines import PretrainingEvents, distribute
from monai_ext.errors import DatasetError
from monai_ext.handlers import FeatureMonitor, ValidationRunner


class Damaged(list):
    """Images of which one cannot be read."""

    def __getitem__(self, index):
        if index == 3:
            raise DatasetError("slice 3 is damaged")
        return super().__getitem__(index)


def _twice(images: Tensor) -> list[Tensor]:
    return [images.flatten(1), images.mean((2, 3))]


def _encoded(dataset: list[Tensor]) -> list[Tensor]:
    return joint_features(_twice, dataset, range(len(dataset)), batch_size=2, device=torch.device("cpu"))


def _measured() -> list[float]:
    """Spread and rank before training and after it."""
    torch.manual_seed(0)
    network = distribute(SmallPainter(dropout=0.0), device="cpu")
    evaluator = small_evaluator(network, handlers=[FeatureMonitor(small_images(11), batch_size=3)])
    runner = ValidationRunner(evaluator, every_epochs=9, before_training=True)
    trainer = small_trainer([runner], network=network, length=small_length(4), views=None)
    values: list[float] = []

    def note() -> None:
        values.extend(evaluator.state.metrics[name] for name in ("feature_std", "effective_rank"))

    trainer.add_event_handler(PretrainingEvents.VALIDATION_COMPLETED, note)
    trainer.run()
    return values


def _one_of_two(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    try:
        torch.save(_encoded(small_images(5)) + _encoded(small_images(1)), folder / f"features_{rank}.pt")
        with pytest.raises(DatasetError, match=r"^slice 3" if rank == 1 else r"^Process 1 of .*: slice 3 is damaged"):
            _encoded(Damaged(small_images(5)))
        torch.save(_measured(), folder / f"monitored_{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="PyTorch was built without gloo")
def test_two_processes_have_what_one_has_and_end_together_at_an_error(tmp_path):
    run_two_processes(_one_of_two, tmp_path)
    alone = _encoded(small_images(5)) + _encoded(small_images(1))
    for rank in range(2):
        for joint, single in zip(torch.load(tmp_path / f"features_{rank}.pt"), alone, strict=True):
            assert torch.equal(joint, single)
    first, second = (torch.load(tmp_path / f"monitored_{rank}.pt") for rank in range(2))
    assert first == second
    assert len(first) == 4


def test_numbers_are_spread_evenly_and_each_is_taken_once():
    assert evenly_spaced(5, limit=9) == [0, 1, 2, 3, 4]
    assert evenly_spaced(7, limit=3) == [0, 2, 4]


def test_maps_are_averaged_and_vectors_are_kept():
    maps = torch.rand(2, 3, 4, 5)
    assert torch.allclose(pooled(maps), maps.mean((2, 3)))
    assert pooled(maps[..., 0, 0]).shape == (2, 3)
