"""Evaluation during training."""

from __future__ import annotations

import pytest
import torch
from small_training import SmallPainter, same_weights, small_evaluator, small_trainer, small_training, weights

from monai_ext.engines import PretrainingEvents
from monai_ext.handlers import ValidationRunner


def test_metrics_arrive_every_few_epochs_and_after_the_last():
    seen = []
    network = SmallPainter()
    trainer = small_trainer([ValidationRunner(small_evaluator(network), every_epochs=2)], network=network)
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


def test_every_zero_epochs_is_refused():
    with pytest.raises(ValueError, match="not every 0 epochs"):
        ValidationRunner(small_evaluator(SmallPainter()), every_epochs=0)
