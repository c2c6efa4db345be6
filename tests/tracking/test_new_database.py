"""Two trainings that meet a database which neither of them has made yet."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import mlflow.store.db.utils
from mlflow import MlflowClient

from helpers.fresh_process import fork_server
from monai_ext.tracking import TrackedRun
from monai_ext.tracking.operations import Metrics


def _train(folder: Path, uri: str, own: str, other: str) -> None:
    """What a training tells its run, in a process of its own that meets the other one twice on the way."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    migrate = mlflow.store.db.utils._upgrade_db

    def meet(moment: str, seconds: float) -> None:
        (folder / f"{moment}_{own}").touch()
        until = time.monotonic() + seconds
        while not (folder / f"{moment}_{other}").exists() and time.monotonic() < until:
            time.sleep(0.01)

    def migrate_together(engine: Any) -> None:
        meet("migration", 2)
        migrate(engine)

    mlflow.store.db.utils._upgrade_db = migrate_together
    run = TrackedRun("both", spool_dir=folder)
    meet("start", 300)
    run.open()
    run.log(Metrics.at_step({"value": 1}, 0))
    run.close()


def test_two_trainings_started_at_once_make_one_database_and_both_run(tmp_path: Path) -> None:
    """MLflow's migration, met by a second process halfway, says that a table already exists."""
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    trainings = [
        fork_server().Process(target=_train, args=(tmp_path, uri, *names))
        for names in (("first", "second"), ("second", "first"))
    ]
    for training in trainings:
        training.start()
    for training in trainings:
        training.join()
    assert [training.exitcode for training in trainings] == [0, 0]
    client = MlflowClient(uri)
    experiments = client.search_experiments(filter_string="name = 'both'")
    assert len(experiments) == 1
    runs = client.search_runs([experiments[0].experiment_id])
    assert [(run.info.status, run.data.metrics["value"]) for run in runs] == [("FINISHED", 1.0)] * 2
    assert not list((tmp_path / "new").glob(".*.lock"))
