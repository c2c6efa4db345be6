"""Evaluation during training."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events

from helpers.small_training import SmallPainter, same_weights, small_evaluator, small_trainer, small_training, weights
from monai_ext.engines import PretrainingEvents
from monai_ext.handlers import TrainingCheckpoint, ValidationRunner


def test_metrics_arrive_every_few_epochs_and_after_the_last():
    seen = []
    network = SmallPainter()
    trainer = small_trainer(
        [ValidationRunner(small_evaluator(network), every_epochs=2, before_training=False)], network=network
    )
    trainer.add_event_handler(
        PretrainingEvents.VALIDATION_COMPLETED,
        lambda engine: seen.append((engine.state.epoch, engine.state.metrics["val_loss"] > 0)),
    )
    trainer.run()
    assert seen == [(2, True), (4, True), (5, True)]


def test_training_with_validation_ends_with_the_weights_of_training_without():
    trained = []
    for validate in (True, False):
        torch.manual_seed(1)
        network = SmallPainter()
        handlers = [ValidationRunner(small_evaluator(network))] if validate else []
        trained.append(weights(small_training(handlers, network=network)))
    assert same_weights(*trained)


def test_the_untrained_network_is_evaluated_at_iteration_zero_and_is_never_the_best(tmp_path):
    network = SmallPainter()
    evaluator = small_evaluator(network)
    runner = ValidationRunner(evaluator, every_epochs=9, before_training=True)
    checkpoint = TrainingCheckpoint(tmp_path, best_metric="val_loss")
    trainer = small_trainer([runner, checkpoint], network=network, lr=1e-9)
    seen = []
    trainer.add_event_handler(
        PretrainingEvents.VALIDATION_COMPLETED,
        lambda engine: seen.append((engine.state.iteration, evaluator.state.training_iteration)),
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=1), lambda: seen.append((tmp_path / "best.pt").exists()))
    trainer.run()
    assert seen == [(0, 0), False, (14, 14)]
    assert (tmp_path / "best.pt").exists()


def test_a_resumed_training_is_not_evaluated_before_it_goes_on(tmp_path):
    seen = []
    for epochs in (2, 4):
        network = SmallPainter()
        runner = ValidationRunner(small_evaluator(network), before_training=True)
        resume = tmp_path if epochs == 4 else None
        checkpoint = TrainingCheckpoint(tmp_path, best_metric=None, resume=resume)
        trainer = small_trainer([runner, checkpoint], network=network, max_epochs=epochs)
        trainer.add_event_handler(
            PretrainingEvents.VALIDATION_COMPLETED, lambda engine: seen.append(engine.state.iteration)
        )
        trainer.run()
    assert seen == [0, 3, 6, 9, 12]


def test_validation_before_training_changes_no_weight_of_the_trained_network():
    trained = []
    for before_training in (True, False):
        torch.manual_seed(1)
        network = SmallPainter()
        runner = ValidationRunner(small_evaluator(network), before_training=before_training)
        trained.append(weights(small_training([runner], network=network)))
    assert same_weights(*trained)


def test_every_zero_epochs_is_refused():
    with pytest.raises(ValueError, match="not every 0 epochs"):
        ValidationRunner(small_evaluator(SmallPainter()), every_epochs=0)
