"""What holds for every pre-training method: it resumes exactly, learns, and means the same in every precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events

from helpers.methods import BATCH, METHODS, SIZE, encoder, images, learning_rate, trainer_for
from helpers.small_training import same_weights, weights
from monai_ext.engines import unwrap
from monai_ext.handlers import NonFiniteLossGuard, TrainingCheckpoint
from monai_ext.networks.weights import load_encoder
from monai_ext.transforms import MultiView

every_method = pytest.mark.parametrize("method", METHODS)


def two_noisy_copies(batch: torch.Tensor) -> list[torch.Tensor]:
    """Views that only images tell apart, which a tiny network can learn in seconds."""
    return [batch + 0.02 * torch.randn_like(batch) for _ in range(2)]


def training(method: str, folder: Path, **options: Any):
    checkpoint = TrainingCheckpoint(
        folder, every_iterations=2, best_metric=None, resume=folder if folder.exists() else None
    )
    return trainer_for(method, [NonFiniteLossGuard(), checkpoint], **options)


@every_method
def test_a_training_stopped_after_two_steps_and_resumed_ends_with_the_same_state(method, tmp_path):
    whole = training(method, tmp_path / "whole")
    whole.run()
    stopped = training(method, tmp_path / "parts")

    def stop() -> None:
        raise KeyboardInterrupt

    stopped.add_event_handler(Events.ITERATION_COMPLETED(once=2), stop)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed = training(method, tmp_path / "parts", seed=99)
    torch.rand(5)  # a process that was started anew may have drawn anything
    resumed.run()
    assert resumed.state.iteration == whole.state.iteration == 6
    assert same_weights(weights(resumed), weights(whole))  # teacher, queue, pointer and prototypes are in the network
    ends = [torch.load(trainer.state.last_checkpoint, weights_only=True) for trainer in (whole, resumed)]
    first, second = (end["random_streams"]["ranks"][0]["torch"] for end in ends)
    assert torch.equal(first, second)


@every_method
def test_what_the_method_keeps_besides_weights_has_moved_and_is_saved(method, tmp_path):
    trainer = training(method, tmp_path)
    before = weights(trainer)
    trainer.run()
    saved = torch.load(trainer.state.last_checkpoint, weights_only=True)["network"]
    trained = {name for name, parameter in trainer.network.named_parameters() if parameter.requires_grad}
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    kept = [name for name in saved if name not in trained and not name.endswith(statistics)]
    moved = [name for name in kept if not torch.equal(saved[name], before[name])]
    assert {name.split(".")[0] for name in moved} == {name.split(".")[0] for name in kept}


@every_method
def test_a_few_images_are_learnt(method):
    options: dict[str, Any] = {"lr": learning_rate(method), "images_seen": 50 * BATCH}
    if isinstance(METHODS[method].views(), MultiView):
        options |= {"dataset": images(24, side=SIZE), "views": two_noisy_copies}
    trainer = trainer_for(method, **options)
    losses: list[float] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: losses.append(trainer.state.output["loss"].item()))
    trainer.run()
    first, last = sum(losses[5:15]), sum(losses[-10:])  # the very first ones are easy for MoCo: its queue is random
    assert last < first - 0.1 * abs(first)


@every_method
def test_bf16_gives_nearly_the_loss_of_fp32(method):
    losses = []
    for precision in ("fp32", "bf16"):
        trainer = trainer_for(method, images_seen=BATCH, precision=precision)
        trainer.run()
        losses.append(trainer.state.output["loss"].item())
    assert losses[1] == pytest.approx(losses[0], rel=0.05, abs=0.02)


@every_method
def test_images_of_one_colour_give_finite_losses_and_weights(method):
    flat = [torch.full((1, 72, 72), 0.5)] * BATCH
    trainer = trainer_for(method, [NonFiniteLossGuard()], dataset=flat, images_seen=3 * BATCH)
    trainer.run()
    assert all(value.isfinite().all() for value in weights(trainer).values())


@every_method
def test_the_teacher_queue_and_targets_get_no_gradient(method):
    trainer = trainer_for(method, images_seen=BATCH)
    frozen = {name for name, param in trainer.network.named_parameters() if not param.requires_grad}
    assert all(name.startswith("teacher.") for name in frozen)
    trainer.run()
    assert all(param.grad is None for name, param in trainer.network.named_parameters() if name in frozen)


@every_method
def test_the_encoder_of_a_checkpoint_loads_into_the_plain_backbone(method, tmp_path):
    trainer = training(method, tmp_path)
    trainer.run()
    plain = encoder()
    load_encoder(plain, trainer.state.last_checkpoint)
    trained = unwrap(trainer.network).encoder.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in plain.state_dict().items())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@every_method
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_method_trains_on_a_gpu(method, precision):
    trainer = trainer_for(method, [NonFiniteLossGuard()], device="cuda", precision=precision)
    trainer.run()
    assert all(value.isfinite().all() for value in weights(trainer).values())


@every_method
def test_the_method_tells_its_own_checkpoints_from_those_of_others(method, tmp_path):
    network = METHODS[method].network()
    report = load_encoder(encoder(), {"network": network.state_dict()})
    assert report.layout == f"{type(network).__name__} training checkpoint"
