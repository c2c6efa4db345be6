"""What was left to ``"auto"`` is known as what it became, on every kind of engine."""

from __future__ import annotations

import pytest
import torch

from helpers.small_classifier import SmallClassifier, classifier_trainer
from helpers.small_training import small_evaluator, small_trainer
from monai_ext.engines.automatic_choices import automatic_choices, precision_of, settled
from monai_ext.handlers import TrainingCheckpoint
from monai_ext.inferers import PrecisionInferer
from monai_ext.parallel import devices
from monai_ext.parallel.processor import Processor


@pytest.fixture(autouse=True)
def _no_bf16(monkeypatch):
    monkeypatch.setattr(devices, "processor", lambda: Processor("AVX2", has_avx512=False, has_bf16=False))


def test_a_pretraining_tells_its_precision_and_its_memory_format():
    trainer = small_trainer(precision="auto")
    assert automatic_choices(trainer) == {"precision": "fp32", "memory_format": "default format"}
    assert settled({"precision": "auto", "seed": 1}, trainer) == {"precision": "fp32", "seed": 1}
    assert settled({"precision": "fp16"}, trainer) == {"precision": "fp16"}


def test_an_evaluator_has_a_precision_only():
    assert automatic_choices(small_evaluator(SmallClassifier(), precision="bf16")) == {"precision": "bf16"}


def test_monais_trainer_computes_in_what_its_inferer_does(tmp_path):
    checkpoint = TrainingCheckpoint(tmp_path, best_metric=None, settings={"precision": "auto", "protocol": "auto"})
    trainer = classifier_trainer(lambda network: [checkpoint], epochs=1)
    trainer.inferer = PrecisionInferer("auto")
    trainer.run()
    assert trainer.precision is precision_of(trainer) is trainer.inferer.precision_on(torch.device("cpu"))
    saved = torch.load(trainer.state.last_checkpoint)
    assert (saved["precision"], saved["settings"]) == ("fp32", {"precision": "fp32", "protocol": "auto"})


def test_an_engine_that_says_nothing_changes_nothing():
    assert settled({"precision": "auto"}, object()) == {"precision": "auto"}
