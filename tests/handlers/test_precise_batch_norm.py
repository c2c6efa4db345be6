"""Batch-norm statistics of the weights as they are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed
from torch import Tensor, nn

from helpers.small_classifier import SmallClassifier, classifier_trainer, labelled_images
from helpers.two_processes import run_two_processes
from monai_ext.engines import distribute
from monai_ext.handlers import PreciseBatchNorm
from monai_ext.inferers import PrecisionInferer


def _handler(**options: Any) -> PreciseBatchNorm:
    return PreciseBatchNorm(labelled_images(10), **({"batch_size": 10, "inferer": PrecisionInferer()} | options))


def _trained(*handlers: Any, epochs: int = 2) -> SmallClassifier:
    network = SmallClassifier()
    classifier_trainer(lambda _: handlers, epochs=epochs, network=network).run()
    return network


def _statistics(network: Any) -> tuple[Tensor, Tensor]:
    return network.bn1.running_mean.clone(), network.bn1.running_var.clone()


def test_they_are_those_of_the_training_images_at_the_weights_of_this_moment() -> None:
    network = _trained(_handler())
    with torch.no_grad():
        values = network.conv1(torch.stack([item["image"] for item in labelled_images(10)]))
    values = values.transpose(0, 1).flatten(1)
    torch.testing.assert_close(network.bn1.running_mean, values.mean(1))
    torch.testing.assert_close(network.bn1.running_var, values.var(1))
    assert (network.bn1.momentum, network.training) == (0.1, True)


def test_several_batches_are_averaged_and_an_incomplete_one_is_left_out() -> None:
    network = _trained(_handler(batch_size=4, seed=3), epochs=1)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(3 * 1_000_003 + 1))
    images = torch.stack([item["image"] for item in labelled_images(10)])
    with torch.no_grad():
        parts = [network.conv1(images[rows]).transpose(0, 1).flatten(1) for rows in (order[:4], order[4:8])]
    torch.testing.assert_close(network.bn1.running_mean, torch.stack([part.mean(1) for part in parts]).mean(0))
    torch.testing.assert_close(network.bn1.running_var, torch.stack([part.var(1) for part in parts]).mean(0))


def test_no_more_images_are_read_than_allowed() -> None:
    read: list[int] = []

    class Counted(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            read.append(index)
            return super().__getitem__(index)

    handler = PreciseBatchNorm(Counted(labelled_images(10)), batch_size=3, inferer=PrecisionInferer(), max_images=6)
    _trained(handler, epochs=2)
    assert len(read) == 12
    assert set(read[:6]) != set(read[6:])


def test_nothing_else_of_the_training_changes() -> None:
    with_it, without = _trained(_handler()), _trained()
    for first, second in zip(with_it.parameters(), without.parameters(), strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(with_it.bn1.running_mean, without.bn1.running_mean)


def test_a_frozen_encoder_keeps_its_statistics() -> None:
    network = SmallClassifier()
    for parameter in (*network.conv1.parameters(), *network.bn1.parameters()):
        parameter.requires_grad_(False)
    trainer = classifier_trainer(lambda _: [_handler()], epochs=1, network=network)
    before: list[Tensor] = []
    trainer.add_event_handler("ITERATION_COMPLETED", lambda: before.append(network.bn1.running_mean.clone()))
    trainer.run()
    assert torch.equal(network.bn1.running_mean, before[-1])


def test_a_network_without_batch_norm_is_trained_as_ever() -> None:
    class Plain(SmallClassifier):
        def __init__(self) -> None:
            super().__init__()
            self.bn1: Any = nn.Identity()

    classifier_trainer(lambda _: [_handler()], epochs=1, network=Plain()).run()


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"max_images": 0}])
def test_numbers_that_are_not_positive_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        _handler(**options)


class _Engine:
    """What the handler reads of a trainer."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.state = self
        self.epoch = 1
        self.device = torch.device("cpu")


def _estimated(*, batch_size: int, distributed: bool) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    network: nn.Module = SmallClassifier()
    if distributed:
        network = distribute(network, device=torch.device("cpu"))
    _handler(batch_size=batch_size)._estimate(_Engine(network))
    return _statistics(network.module if distributed else network)


def _one_of_two(rank: int, folder: Path) -> None:
    store = torch.distributed.FileStore(str(folder / "store"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    try:
        torch.save(_estimated(batch_size=2, distributed=True), folder / f"statistics_{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="PyTorch was built without gloo")
def test_two_processes_have_the_statistics_of_one_with_the_joint_batch(tmp_path: Path) -> None:
    run_two_processes(_one_of_two, tmp_path)
    alone = _estimated(batch_size=4, distributed=False)
    for rank in range(2):
        for joint, single in zip(torch.load(tmp_path / f"statistics_{rank}.pt"), alone, strict=True):
            torch.testing.assert_close(joint, single)


def test_frozen_batch_norms_keep_their_statistics_while_others_are_estimated() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    network[0].requires_grad_(False)
    network[0].running_mean.fill_(0.25)
    kept = _statistics_of(network[0])
    engine = SimpleNamespace(
        network=network,
        inferer=PrecisionInferer(),
        state=SimpleNamespace(epoch=1, device=torch.device("cpu")),
    )
    _handler()._estimate(engine)
    assert all(torch.equal(value, other) for value, other in zip(kept, _statistics_of(network[0]), strict=True))
    images = torch.stack([item["image"] for item in labelled_images(10)])
    expected = network[1]((images - 0.25) / torch.sqrt(torch.tensor(1 + network[0].eps)))
    assert torch.allclose(network[2].running_mean, expected.mean(dim=(0, 2, 3)), atol=1e-5)


def _statistics_of(norm: nn.BatchNorm2d) -> list[Tensor]:
    return [value.clone() for value in norm.buffers()]
