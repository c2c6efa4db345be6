"""An empty MLflow database that is made once, a place of its own for each test, and a tiny training."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from monai_ext.tracking import MLflowTracker


@pytest.fixture
def make_trainer() -> Callable[..., Engine]:
    """A training of one weight that grows by 1 an iteration; its loss is the weight."""

    def make(*handlers: Any, on_iteration: Callable[[Engine], None] | None = None) -> Engine:
        weight = torch.nn.Parameter(torch.zeros(()))

        def step(engine: Engine, batch: Any) -> dict[str, torch.Tensor]:
            with torch.no_grad():
                weight.add_(1)
            if on_iteration is not None:
                on_iteration(engine)
            return {"loss": weight.detach().clone()}

        engine = Engine(step)
        engine.logger.setLevel(logging.CRITICAL)
        engine.optimizer = torch.optim.SGD([weight], lr=0.5, weight_decay=0.25)
        for handler in handlers:
            handler.attach(engine)
        return engine

    return make


@pytest.fixture
def train(make_trainer: Callable[..., Engine]) -> Callable[..., Engine]:
    """Run the tiny training to its end."""

    def run(tracker: MLflowTracker, *, epochs: int = 2, epoch_length: int = 3, **settings: Any) -> Engine:
        engine = make_trainer(tracker, **settings)
        engine.run([torch.zeros(4, 1)] * epoch_length, max_epochs=epochs)
        return engine

    return run
