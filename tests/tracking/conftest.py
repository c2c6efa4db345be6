"""An empty MLflow database that is made once, a place of its own for each test, and a tiny training."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from monai_ext.tracking import MLflowTracker


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Making the tables takes seconds, copying them does not."""
    from mlflow.tracking import MlflowClient

    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments(max_results=1)
    return file


@pytest.fixture
def repository_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """A user's repository with an empty database; the working directory is a folder inside of it."""
    root = tmp_path / "user's repository"
    (root / ".git").mkdir(parents=True)
    (root / "experiments").mkdir()
    shutil.copy(empty_database, root / "mlflow.db")
    monkeypatch.chdir(root / "experiments")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


@pytest.fixture
def client(repository_folder: Path) -> Any:
    """Reads what is in the repository's database."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{repository_folder / 'mlflow.db'}")


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
