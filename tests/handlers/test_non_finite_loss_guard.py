"""A loss that is no number stops training, with a sentence that helps."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events

from helpers.small_training import small_images, small_trainer
from monai_ext.errors import TrainingStoppedError
from monai_ext.handlers import NonFiniteLossGuard, TrainingCheckpoint


def test_nan_pixels_stop_training_and_are_named_as_the_cause(tmp_path):
    trainer = small_trainer([NonFiniteLossGuard(), TrainingCheckpoint(tmp_path, every_iterations=2)])

    def spoil(engine) -> None:
        engine.state.batch[1, 0, 3, 3] = float("nan")

    trainer.add_event_handler(Events.ITERATION_STARTED(once=6), spoil)
    with pytest.raises(TrainingStoppedError) as raised:
        trainer.run()
    good = tmp_path / "checkpoint_00000004.pt"
    assert str(raised.value) == (
        f"Training stopped: the loss of iteration 6 is nan. The last good checkpoint is {good}. The images of this "
        f"iteration hold pixels that are not finite: find and remove them, then continue with resume={good}."
    )
    assert max(tmp_path.iterdir()) == good


def test_a_loss_that_explodes_stops_training_without_a_checkpoint_to_name():
    trainer = small_trainer([NonFiniteLossGuard()])
    trainer.loss_function = lambda *output: output[0].sum() * float("inf")
    with pytest.raises(
        TrainingStoppedError, match=r"iteration 1 is .*checkpoint is none\. Lower the .*then start again"
    ):
        trainer.run()


def test_on_a_gpu_the_first_bad_iteration_is_named_although_it_is_looked_at_later():
    guard = NonFiniteLossGuard(every_iterations=3)
    trainer = small_trainer()
    trainer.state.batch = torch.stack(small_images(4))
    for iteration, loss in ((1, 0.5), (2, float("inf")), (3, float("nan"))):
        trainer.state.iteration = iteration
        guard._losses.append((iteration, torch.tensor(loss)))
    with pytest.raises(TrainingStoppedError, match="loss of iteration 2 is inf"):
        guard._look(trainer)


def test_a_guard_that_never_looks_is_refused():
    with pytest.raises(ValueError, match="every 0"):
        NonFiniteLossGuard(every_iterations=0)
