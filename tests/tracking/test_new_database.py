"""Two trainings that meet a database which neither of them has made yet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mlflow import MlflowClient

_TRAINING = """
import sys, time
from pathlib import Path
import mlflow.store.db.utils as database
import mlflow.store.tracking.sqlalchemy_store
from monai_ext.tracking import TrackedRun
from monai_ext.tracking.operations import Metrics

folder, own, other = Path(sys.argv[1]), *sys.argv[2:]
migrate = database._upgrade_db


def meet(moment, seconds):
    (folder / f"{moment}_{own}").touch()
    until = time.monotonic() + seconds
    while not (folder / f"{moment}_{other}").exists() and time.monotonic() < until:
        time.sleep(0.01)


def migrate_together(engine):
    meet("migration", 2)
    migrate(engine)


database._upgrade_db = migrate_together
run = TrackedRun("both", spool_dir=folder)
meet("start", 300)
run.open()
run.log(Metrics.at_step({"value": 1}, 0))
run.close()
"""


def test_two_trainings_started_at_once_make_one_database_and_both_run(tmp_path: Path) -> None:
    """MLflow's migration, met by a second process halfway, says that a table already exists."""
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    trainings = [
        subprocess.Popen(
            [sys.executable, "-c", _TRAINING, str(tmp_path), *names],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for names in (("first", "second"), ("second", "first"))
    ]  # fmt: skip
    outputs = [training.communicate(timeout=600)[0] for training in trainings]
    assert [training.returncode for training in trainings] == [0, 0], outputs
    client = MlflowClient(uri)
    experiments = client.search_experiments(filter_string="name = 'both'")
    assert len(experiments) == 1
    runs = client.search_runs([experiments[0].experiment_id])
    assert [(run.info.status, run.data.metrics["value"]) for run in runs] == [("FINISHED", 1.0)] * 2
    assert not list((tmp_path / "new").glob(".*.lock"))
