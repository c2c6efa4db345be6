"""Keeping the best weights, and stopping when nothing gets better."""

import math

import pytest
import torch
from ignite.engine import Events

from helpers.small_classifier import classifier_evaluator, classifier_trainer
from monai_ext.errors import TrainingStoppedError
from monai_ext.handlers import BestModel


def _train(path, values, **options):
    """A training whose validation gives these values of ``auc``, one an epoch; weights after each epoch."""
    kept = []

    def handlers(network):
        evaluator = classifier_evaluator(network)
        return [_FixedValues(evaluator, values, kept), BestModel(path, evaluator=evaluator, **options)]

    trainer = classifier_trainer(handlers, epochs=len(values))
    trainer.run()
    return trainer, kept


class _FixedValues:
    def __init__(self, evaluator, values, kept):
        self.evaluator, self.values, self.kept = evaluator, values, kept

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.give)

    def give(self, engine):
        self.evaluator.state.metrics = {"auc": self.values[engine.state.epoch - 1], "val_loss": engine.state.epoch}
        self.kept.append({name: value.clone() for name, value in engine.network.state_dict().items()})


def _same(path, weights):
    saved = torch.load(path, weights_only=True)
    return all(torch.equal(saved[name], value) for name, value in weights.items())


def test_the_weights_of_the_first_best_epoch_are_kept(tmp_path):
    trainer, kept = _train(tmp_path, [0.6, 0.9, 0.9, 0.7])
    assert (trainer.state.best_metric, trainer.state.best_metric_epoch) == (0.9, 2)
    assert _same(tmp_path / "best_weights.pt", kept[1])
    assert not _same(tmp_path / "best_weights.pt", kept[3])


def test_a_value_that_is_no_number_is_never_the_best(tmp_path):
    trainer, _ = _train(tmp_path, [math.nan, 0.4, math.inf])
    assert trainer.state.best_metric_epoch == 2


def test_of_a_loss_the_smallest_is_the_best(tmp_path):
    trainer, _ = _train(tmp_path, [0.1, 0.2, 0.3], metric="val_loss")
    assert trainer.state.best_metric_epoch == 1


def test_training_stops_after_patience_epochs_without_a_better_value(tmp_path):
    trainer, _ = _train(tmp_path, [0.5, 0.9, 0.8, 0.8, 0.95], patience=2)
    assert trainer.state.epoch == 4


def test_patience_begins_after_the_epochs_in_which_only_the_head_learns(tmp_path):
    trainer, _ = _train(tmp_path, [0.9, 0.8, 0.8, 0.8, 0.7, 0.7], patience=2, not_before=3)
    assert trainer.state.epoch == 5


def test_without_a_metric_the_last_epoch_is_kept(tmp_path):
    trainer, kept = _train(tmp_path, [0.9, 0.1], metric=None)
    assert trainer.state.best_metric_epoch == 2
    assert _same(tmp_path / "best_weights.pt", kept[1])


def test_a_metric_that_was_not_computed_is_named_with_those_that_were(tmp_path):
    with pytest.raises(ValueError, match=r"chosen by 'roc_auc', .*; it gave auc, val_loss"):
        _train(tmp_path, [0.5], metric="roc_auc")


def test_a_patience_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 1"):
        BestModel(tmp_path, evaluator=None, patience=0)


def test_a_disk_that_refuses_ends_the_training_with_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TrainingStoppedError, match="best model was not written"):
        _train(tmp_path / "file" / "best.pt", [0.5])
