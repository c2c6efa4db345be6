"""When a training has ended the best weights are judged, and training may go on with the last ones."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import torch
from ignite.engine import Events
from monai.handlers import ValidationHandler

from helpers.small_classifier import classifier_evaluator, classifier_trainer
from monai_ext.handlers import BestModel, BestModelResults, ClassificationResults

OPTIONS = {"class_names": ["no", "yes"], "positive_class": "yes", "threshold": "choose", "n_bootstrap": 20}


def train(folder: Path, *, tracker=None, epochs: int = 3):
    def handlers(network):
        results = ClassificationResults(**OPTIONS)
        evaluator = classifier_evaluator(network, [results])
        return [
            ValidationHandler(interval=1, validator=evaluator),
            BestModel(folder, evaluator=evaluator, metric="brier_score"),
            BestModelResults(folder, evaluator=evaluator, results=results, tracker=tracker),
        ]

    return classifier_trainer(handlers, epochs=epochs)


def test_the_best_weights_are_judged_and_the_last_ones_are_put_back(tmp_path):
    trainer = train(tmp_path)
    last = {}
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: last.update(_copy(engine.network)))
    trainer.run()
    assert all(torch.equal(value, last[name]) for name, value in trainer.network.state_dict().items())
    assert trainer.state.best_weights == str(tmp_path / "best_weights.pt")
    assert 0 < trainer.state.threshold < 1
    assert {file.name for file in (tmp_path / "validation").iterdir()} >= {"metrics.json", "predictions.csv", "roc.png"}


def test_validations_while_training_write_nothing_and_choose_no_threshold(tmp_path):
    trainer = train(tmp_path)
    seen = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: seen.append((tmp_path / "validation").exists()))
    trainer.run()
    assert seen == [False] * 3


def test_a_trainer_that_runs_on_is_judged_again(tmp_path):
    trainer = train(tmp_path)
    trainer.run()
    trainer.state.max_epochs = 4
    trainer.run()
    assert trainer.state.epoch == 4
    assert (tmp_path / "validation" / "metrics.json").is_file()


class Tracker:
    """Notes that it follows the trainer, and what it is told."""

    def __init__(self):
        self.followed, self.metrics, self.prefix = [], {}, ""

    @contextmanager
    def naming(self, prefix):
        self.prefix = prefix
        yield
        self.prefix = ""

    def log_json(self, content, *, file):
        assert self.prefix == "best_"

    def attach(self, engine):
        self.followed.append(engine)

    def log_metrics(self, metrics):
        self.metrics.update(metrics)

    def log_picture(self, path, *, name):
        pass

    def log_artifact(self, path, *, folder):
        pass


def test_its_tracker_follows_the_trainer_and_gets_the_best_values(tmp_path):
    tracker = Tracker()
    trainer = train(tmp_path, tracker=tracker)
    assert tracker.followed == [trainer]
    trainer.run()
    assert tracker.metrics.keys() == {"best_epoch"}


def _copy(network):
    return {name: value.clone() for name, value in network.state_dict().items()}
