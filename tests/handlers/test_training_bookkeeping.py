"""MONAI's trainer with this project's handlers: resume equals uninterrupted, and errors leave run."""

import pytest
import torch
from ignite.engine import Events

from helpers.small_classifier import classifier_evaluator, classifier_trainer
from monai_ext.errors import TrainingStoppedError
from monai_ext.handlers import BestModel, EncoderFreezer, NonFiniteLossGuard, TrainingCheckpoint
from monai_ext.optimizers import FineTuningSchedule


class _Accuracy:
    """A validation that gives one number a run."""

    def __init__(self, evaluator):
        self.evaluator = evaluator

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.validate)

    def validate(self, engine):
        self.evaluator.run(engine.state.epoch)
        self.evaluator.state.metrics = {"auc": -float(engine.state.output["loss"])}


def _trainer(folder, *, epochs=4, resume=None, stop_at=None):
    def handlers(network):
        evaluator = classifier_evaluator(network)
        schedule = FineTuningSchedule("gradual", head_only_epochs=1)
        return [
            NonFiniteLossGuard(),
            EncoderFreezer(schedule),
            _Accuracy(evaluator),
            BestModel(folder, evaluator=evaluator),
            TrainingCheckpoint(folder, every_epochs=1, every_iterations=2, best_metric=None, resume=resume),
        ]

    trainer = classifier_trainer(handlers, epochs=epochs, seed=3)
    if stop_at is not None:

        def stop(engine):
            if engine.state.iteration == stop_at:
                raise KeyboardInterrupt

        trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)
    return trainer


@pytest.mark.parametrize("stop_at", [2, 3, 7, 8])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, stop_at):
    straight = _trainer(tmp_path / "straight")
    straight.run()
    with pytest.raises(KeyboardInterrupt):
        _trainer(tmp_path / "stopped", stop_at=stop_at).run()
    resumed = _trainer(tmp_path / "stopped", resume=tmp_path / "stopped")
    torch.rand(100)  # what happens before must not matter
    resumed.run()
    for name, value in straight.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    assert resumed.state.best_metric == straight.state.best_metric
    assert resumed.state.best_metric_epoch == straight.state.best_metric_epoch
    best = [torch.load(tmp_path / run / "best_weights.pt", weights_only=True) for run in ("straight", "stopped")]
    assert all(torch.equal(value, best[1][name]) for name, value in best[0].items())


def test_images_seen_are_counted(tmp_path):
    trainer = _trainer(tmp_path, epochs=2)
    trainer.run()
    assert trainer.state.images_seen == 6 * 4


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    trainer = _trainer(tmp_path)
    trainer.loss_function = lambda prediction, labels: prediction.sum() * float("nan")
    with pytest.raises(TrainingStoppedError, match="iteration 1 is nan"):
        trainer.run()
