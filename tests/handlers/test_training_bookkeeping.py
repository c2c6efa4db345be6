"""MONAI's trainer with this project's handlers: resume equals uninterrupted, and errors leave run."""

import pytest
import torch
from ignite.engine import Events
from monai.networks import nets

from helpers.small_classifier import classifier_evaluator, classifier_trainer
from monai_ext.engines import AugmentedBatch
from monai_ext.errors import TrainingStoppedError
from monai_ext.handlers import BestModel, EncoderFreezer, NonFiniteLossGuard, TrainingCheckpoint
from monai_ext.inferers import PrecisionInferer
from monai_ext.optimizers import FineTuningSchedule
from monai_ext.transforms import RandomView


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


def _on_images_of(side, precision):
    """A ResNet's trainer of which the first handler alone sees the start."""
    network = nets.resnet18(spatial_dims=2, n_input_channels=1, num_classes=2, conv1_t_stride=2, bias_downsample=False)
    trainer = classifier_trainer(network=network)
    trainer.prepare_batch = AugmentedBatch(RandomView(side, scale=[0.7, 1.0]))
    trainer.inferer = PrecisionInferer(precision)
    trainer.add_event_handler(Events.STARTED, trainer.terminate)
    return trainer


@pytest.mark.parametrize(("side", "precision"), [(16, "fp32"), (17, "bf16")])
def test_auto_is_fp32_on_a_cpu_where_images_are_too_small_for_gradients_in_bf16(side, precision, monkeypatch):
    monkeypatch.setattr("monai_ext.parallel.devices._bf16_of", lambda device: (True, "it has bf16", None))
    trainer = _on_images_of(side, "auto")
    trainer.run()
    assert trainer.precision.name == trainer.inferer.precision_on(torch.device("cpu")).name == precision


def test_bf16_that_is_asked_for_is_refused_on_a_cpu_for_such_images():
    with pytest.raises(ValueError, match=r"bf16 was asked for, but .* images of 16 pixels .* Use fp32, or auto"):
        _on_images_of(16, "bf16").run()
