"""Training in two processes over gloo: weights, files and resumption are those of one process with the joint batch."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
import torch.distributed
from ignite.engine import Events
from monai.inferers import Inferer
from torch import Tensor, nn

from helpers.small_training import SmallPainter, same_weights, small_length, small_trainer, weights
from helpers.two_processes import run_two_processes
from monai_ext.engines import PretrainingTrainer, distribute, process_count, process_rank, unwrap
from monai_ext.handlers import (
    EncoderExporter,
    GracefulTermination,
    NonFiniteLossGuard,
    TrainingCheckpoint,
    find_checkpoint,
)


class MasksOfTheImage(Inferer):
    """Masks that depend on the image alone, so that they do not depend on which process sees it."""

    def __call__(self, inputs: Tensor, network: nn.Module, *args, **kwargs) -> tuple[Tensor, Tensor, Tensor]:
        chosen = inputs[:, 0, ::4, ::4].flatten(1).argsort(dim=1)[:, :6]  # six of sixteen patches are visible
        visible = torch.zeros(len(inputs), 16, dtype=torch.bool).scatter(1, chosen, True).view(-1, 1, 4, 4)
        return network(inputs, visible), inputs, visible


def training(folder: Path, **options) -> PretrainingTrainer:
    torch.manual_seed(0)
    network = SmallPainter(dropout=0.0)
    network.encoder[1] = nn.Identity()  # plain batch norm would see the part of each process only
    return small_trainer(
        [
            NonFiniteLossGuard(),
            TrainingCheckpoint(folder, best_metric=None, resume=folder if folder.exists() else None),
            EncoderExporter(folder),
        ],
        network=distribute(network, device="cpu"),
        length=small_length(20),
        views=None,
        inferer=MasksOfTheImage(),
        **options,
    )


def train_one_of_two(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    try:
        for accumulation_steps in (1, 2):
            trainer = training(folder / f"whole_{accumulation_steps}", accumulation_steps=accumulation_steps)
            trainer.run()
            torch.save(unwrap(trainer.network).state_dict(), folder / f"rank_{rank}_{accumulation_steps}.pt")
        end_both(folder / "ended", rank)
        training(folder / "parts", max_epochs=1).run()
        torch.rand(rank + 1)
        training(folder / "parts").run()
    finally:
        torch.distributed.destroy_process_group()


def end_both(folder: Path, rank: int) -> None:
    """SIGTERM to one of the processes ends both with a checkpoint."""
    trainer = training(folder)
    GracefulTermination(every_iterations=2).attach(trainer)
    if rank == 1:
        trainer.add_event_handler(Events.ITERATION_STARTED(once=1), lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit, match="143"):
        trainer.run()
    assert trainer.state.iteration == 2


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="PyTorch was built without gloo")
def test_two_processes_train_as_one_with_the_joint_batch(tmp_path):
    run_two_processes(train_one_of_two, tmp_path)

    alone = training(tmp_path / "alone")
    alone.run()
    for accumulation_steps in (1, 2):
        first, second = (torch.load(tmp_path / f"rank_{rank}_{accumulation_steps}.pt") for rank in range(2))
        assert same_weights(first, second)
        for name, value in weights(alone).items():
            assert torch.allclose(value, first[name], atol=1e-5), name
    whole, parts = (torch.load(find_checkpoint(tmp_path / name), weights_only=True) for name in ("whole_1", "parts"))
    assert len(parts["random_streams"]["ranks"]) == 2
    assert same_weights(whole["network"], parts["network"])
    assert os.listdir(tmp_path / "ended") == ["checkpoint_00000002.pt"]
    assert sorted(os.listdir(tmp_path / "parts")) == ["checkpoint_00000003.pt", "checkpoint_00000005.pt", "encoder.pt"]


def test_without_a_process_group_nothing_is_wrapped():
    network = nn.Linear(2, 2)
    assert distribute(network, device="cpu") is network
    assert unwrap(network) is network
    assert (process_rank(), process_count()) == (0, 1)
