"""The tracker against a real MLflow database in the user's repository."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from PIL import Image

from monai_ext.engines.events import PretrainingEvents
from monai_ext.errors import TrainingStoppedError
from monai_ext.parallel.devices import Precision
from monai_ext.parallel.processor import processor
from monai_ext.tracking import MLflowTracker
from monai_ext.tracking.columns import COLUMNS
from monai_ext.tracking.operations import EndRun, OpenRun, Operation
from monai_ext.tracking.run import deliver
from monai_ext.tracking.store import MLflowStore, StoreUnreachable
from monai_ext.tracking.termination import PROCESS_TAG, process_identity

BATCHES = [torch.zeros(4, 1)] * 3


@pytest.fixture(autouse=True)
def _as_in_the_foreground() -> Iterator[None]:
    """What ``nohup`` or ``&`` has started ignores SIGHUP or SIGINT, which a training then leaves as it is."""
    usual = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class QuietEvaluator(Evaluator):
    """One of MONAI's evaluators that looks at nothing."""

    def __init__(self, tracker: MLflowTracker) -> None:
        super().__init__("cpu", val_data_loader=BATCHES, decollate=False, val_handlers=[tracker])
        self.logger.setLevel(logging.CRITICAL)

    def _iteration(self, engine: Engine, batchdata: torch.Tensor) -> dict[str, Any]:
        return {}


def runs(client: Any, experiment: str = "tiny") -> list:
    """Runs of an experiment, oldest first."""
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])


def history(client: Any, run_id: str, name: str) -> list[tuple[int, float]]:
    return sorted((point.step, point.value) for point in client.get_metric_history(run_id, name))


def stop_with(error: BaseException, *, at: int) -> Callable[[Engine], None]:
    def stop(engine: Engine) -> None:
        if engine.state.iteration == at:
            raise error

    return stop


@pytest.fixture(scope="module")
def crashed_process(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> tuple[str, Path]:
    """What a process printed that opened a run and died of an error, and its database."""
    folder = tmp_path_factory.mktemp("crashed")
    shutil.copy(empty_database, folder / "mlflow.db")
    code = """if True:
        import sys
        from monai_ext.tracking import TrackedRun
        print("imported" if "mlflow" in sys.modules else "not imported")
        TrackedRun("tiny").open()
        raise ValueError("in /data/Doe")
    """
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    assert "ValueError: in /data/Doe" in done.stderr
    return done.stdout, folder / "mlflow.db"


def test_importing_the_package_does_not_import_mlflow(crashed_process: tuple[str, Path]) -> None:
    assert crashed_process[0] == "not imported\n"


def test_the_end_of_the_process_ends_the_run(crashed_process: tuple[str, Path]) -> None:
    from mlflow.tracking import MlflowClient

    (run,) = runs(MlflowClient(tracking_uri=f"sqlite:///{crashed_process[1]}"))
    assert run.info.status == "FAILED"
    assert run.data.tags["monai_ext.error"] == "ValueError"


def test_a_training_is_a_finished_run_in_the_repositorys_database(repository_folder: Path, client, train) -> None:
    tracker = MLflowTracker("tiny", parameters={"epochs": 2, "crop": {"scale": [0.5, 1]}})
    train(tracker)
    (run,) = runs(client)
    assert run.info.status == "FINISHED"
    assert run.info.run_id == tracker.run_id
    assert {"epochs": "2", "crop/scale": "[0.5, 1]"}.items() <= run.data.params.items()
    assert not (repository_folder / "experiments" / "mlruns").exists()


def test_what_was_left_to_auto_is_a_parameter_as_what_it_became(client, make_trainer) -> None:
    engine = make_trainer(MLflowTracker("tiny", parameters={"precision": "auto"}))
    engine.precision = Precision("auto", device=torch.device("cpu"))
    engine.memory_formats = {"": torch.channels_last}
    engine.run(BATCHES, max_epochs=1)
    (run,) = runs(client)
    assert run.data.params["precision"] == ("bf16" if processor().has_bf16 else "fp32")
    assert run.data.params["memory_format"] == "channels last"


def test_every_iteration_of_a_short_training_is_a_point(client, train) -> None:
    tracker = MLflowTracker("tiny")
    train(tracker)
    assert history(client, tracker.run_id, "loss") == [(step, float(step)) for step in range(1, 7)]
    assert history(client, tracker.run_id, "learning_rate") == [(step, 0.5) for step in range(1, 7)]
    assert history(client, tracker.run_id, "weight_decay") == [(step, 0.25) for step in range(1, 7)]


def test_a_point_of_several_iterations_is_their_mean_and_the_rest_is_not_lost(client, train) -> None:
    tracker = MLflowTracker("tiny", every_iterations=4)
    train(tracker)
    assert history(client, tracker.run_id, "loss") == [(4, 2.5), (6, 5.5)]


def test_images_seen_and_their_rate_are_logged_when_the_trainer_counts_them(client, make_trainer) -> None:
    tracker = MLflowTracker("tiny")
    trainer = make_trainer(on_iteration=lambda engine: setattr(engine.state, "images_seen", 4 * engine.state.iteration))
    trainer.state.images_seen = 0
    tracker.attach(trainer)
    trainer.run(BATCHES, max_epochs=1)
    assert history(client, tracker.run_id, "images_seen") == [(1, 4.0), (2, 8.0), (3, 12.0)]
    assert all(value > 0 for _, value in history(client, tracker.run_id, "images_per_second"))


def test_a_run_tells_what_it_was_made_with(client, train, tmp_path: Path, monkeypatch) -> None:
    class Slices:
        fingerprint = "0123456789abcdef" * 4

        def describe(self) -> dict[str, Any]:
            return {"kind": "dicom", "count": 12, "source": "/data/Doe, Jane"}

    (tmp_path / "spark" / "configs").mkdir(parents=True)
    (tmp_path / "spark" / "configs" / "metadata.json").write_text('{"version": "0.1.0"}')
    tracker = MLflowTracker(
        "tiny",
        config={"epochs": 2, "length": {"epochs": "@epochs", "loader": "@loader"}, "loader": {"_target_": "x"}},
        datasets={"training": Slices(), "validation": Slices(), "other": object()},
        bundle_root=str(tmp_path / "spark"),
        parent_run_id="a1b2",
    )
    train(tracker)
    run = client.get_run(tracker.run_id)
    tags = run.data.tags
    assert tags["monai_ext.bundle"] == "spark"
    assert tags["monai_ext.bundle_version"] == "0.1.0"
    assert tags["monai_ext.parent_run_id"] == tags["mlflow.parentRunId"] == "a1b2"
    assert tags["monai_ext.version.torch"] == torch.__version__
    used = {item.dataset.name: item.dataset for item in run.inputs.dataset_inputs}
    assert used.keys() == {"dicom training", "dicom validation"}
    assert used["dicom training"].digest == Slices.fingerprint[:36]
    assert json.loads(used["dicom training"].profile) == {
        "kind": "dicom",
        "count": 12,
        "fingerprint": Slices.fingerprint,
    }
    folder = Path(run.info.artifact_uri.removeprefix("file://").replace("%20", " ").replace("%27", "'"))
    config = json.loads((folder / "config.json").read_text())
    assert config["length"] == {"epochs": 2, "loader": "@loader"}
    assert f"torch=={torch.__version__}" in (folder / "packages.txt").read_text()


def test_the_commit_and_whether_files_were_changed_are_tags(tmp_path: Path, monkeypatch) -> None:
    from monai_ext.tracking.provenance import source_tags

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.chdir(tmp_path)
    assert "mlflow.source.git.commit" not in source_tags()
    git("init", "-q")
    (tmp_path / "a.txt").write_text("1")
    git("add", "a.txt")
    git("commit", "-qm", "first")
    assert source_tags()["mlflow.source.git.commit"] == git("rev-parse", "HEAD")
    assert source_tags()["monai_ext.git_dirty"] == "false"
    (tmp_path / "a.txt").write_text("2")
    assert source_tags()["monai_ext.git_dirty"] == "true"


def test_system_metrics_are_in_the_run(client, train) -> None:
    tracker = MLflowTracker("tiny")
    train(tracker)
    assert "system/system_memory_usage_percentage" in client.get_run(tracker.run_id).data.metrics


def test_pictures_and_the_exported_encoder_are_in_the_run(client, make_trainer, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "reconstruction_00001.png")
    Image.new("L", (8, 8)).save(tmp_path / "views.png")
    (tmp_path / "encoder.pt").write_bytes(b"weights")
    tracker = MLflowTracker("tiny")
    trainer = make_trainer(tracker)

    @trainer.on(Events.EPOCH_STARTED(once=1))
    def write_at_the_start(engine: Engine) -> None:
        engine.state.pictures = str(tmp_path / "views.png")
        engine.fire_event(PretrainingEvents.PICTURES_WRITTEN)

    @trainer.on(Events.EPOCH_COMPLETED)
    def write(engine: Engine) -> None:
        engine.state.pictures = str(tmp_path / "reconstruction_00001.png")
        engine.fire_event(PretrainingEvents.PICTURES_WRITTEN)
        engine.state.encoder_path = str(tmp_path / "encoder.pt")
        engine.fire_event(PretrainingEvents.ENCODER_EXPORTED)

    trainer.run(BATCHES, max_epochs=2)
    names = [item.path for item in client.list_artifacts(tracker.run_id, "images")]
    pictures = [name for name in names if name.endswith(".png")]
    assert sorted(name.split("+")[:3] for name in pictures) == [
        ["images/reconstruction", "step", "3"],
        ["images/reconstruction", "step", "6"],
        ["images/views", "step", "0"],
    ]
    import mlflow.artifacts

    fetched = mlflow.artifacts.download_artifacts(
        f"runs:/{tracker.run_id}/encoder", tracking_uri=client.tracking_uri, dst_path=str(tmp_path / "fetched")
    )
    assert (Path(fetched) / "encoder.pt").read_bytes() == b"weights"


def test_validation_metrics_are_logged_once_at_the_trainers_iteration(client, make_trainer) -> None:
    tracker = MLflowTracker("tiny")
    trainer = make_trainer(tracker)
    evaluator = QuietEvaluator(tracker)

    @evaluator.on(Events.EPOCH_COMPLETED)
    def measure(engine: Engine) -> None:
        engine.state.metrics["val_loss"] = torch.tensor(float(trainer.state.epoch))

    @trainer.on(Events.EPOCH_COMPLETED(every=2))
    def validate(engine: Engine) -> None:
        evaluator.run()
        engine.state.metrics.update(evaluator.state.metrics)
        engine.fire_event(PretrainingEvents.VALIDATION_COMPLETED)

    trainer.run(BATCHES, max_epochs=5)
    assert len(runs(client)) == 1
    assert history(client, tracker.run_id, "val_loss") == [(6, 2.0), (12, 4.0)]


def test_an_evaluator_alone_is_a_run_of_its_own(client) -> None:
    tracker = MLflowTracker("tiny", parent_run_id="a1b2")
    evaluator = QuietEvaluator(tracker)
    evaluator.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: engine.state.metrics.update(auc=0.75, recall=[0.5, 1.0])
    )
    evaluator.run()
    (run,) = runs(client)
    assert run.info.status == "FINISHED"
    assert {name: run.data.metrics[name] for name in ("auc", "recall_0", "recall_1")} == {
        "auc": 0.75,
        "recall_0": 0.5,
        "recall_1": 1.0,
    }
    assert run.data.tags["mlflow.parentRunId"] == "a1b2"


def test_a_value_and_its_interval_are_of_one_evaluation_under_names_of_their_own(client, make_trainer) -> None:
    tracker = MLflowTracker("tiny")
    trainer = make_trainer(tracker)
    evaluator = QuietEvaluator(tracker)
    measured = {"auc": 0.5, "f1": 0.4}

    @evaluator.on(Events.EPOCH_COMPLETED)
    def measure(engine: Engine) -> None:
        engine.state.metrics.update(measured)

    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run())

    @trainer.on(Events.COMPLETED)
    def judge(engine: Engine) -> None:
        measured.update(auc=0.9, auc_low=0.8, auc_high=1.0, f1=0.7, f1_low=0.6, f1_high=0.8, f1_without_excluded=0.1)
        with tracker.naming("best_"):
            evaluator.run()

    trainer.run(BATCHES, max_epochs=2)
    (run,) = runs(client)
    logged = {name: value for name, value in run.data.metrics.items() if "auc" in name or "f1" in name}
    best = {"best_auc": 0.9, "best_auc_low": 0.8, "best_auc_high": 1.0, "best_f1": 0.7}
    assert logged == pytest.approx({"auc": 0.5, "f1": 0.4} | best)
    assert "| f1 | 0.7000 | 0.6000 to 0.8000 |" in run.data.tags["mlflow.note.content"]


def test_an_evaluation_of_a_section_names_its_values_by_it_and_has_the_columns_of_its_training(
    client, make_trainer
) -> None:
    settings = {"backbone": "resnet18", "lineage": {"pretrained_method": "SwAV"}, "fold": 2, "batch_size": 4}
    training = MLflowTracker("tiny", parameters=settings, bundle_root="bundles/covid19_classification")
    make_trainer(training).run(BATCHES, max_epochs=2)
    tracker = MLflowTracker("tiny", parameters={"section": "test"}, parent_run_id=training.run_id)
    evaluator = QuietEvaluator(tracker)
    evaluator.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: engine.state.metrics.update(auc=0.75, auc_low=0.5, auc_high=0.9)
    )
    evaluator.run()
    trained, tested = runs(client)
    assert trained.data.params["parent"] == "-"
    assert {name for name in tested.data.metrics if "auc" in name} == {"test_auc", "test_auc_low", "test_auc_high"}
    assert trained.info.run_name == "covid19 SwAV resnet18 24 fold 2"
    assert set(COLUMNS) <= trained.data.params.keys() & tested.data.params.keys()
    differing = {name for name in COLUMNS if trained.data.params[name] != tested.data.params[name]}
    assert differing <= {"parent", "device", "task"}
    assert tested.data.params["parent"] == training.run_id


def test_a_crash_is_failed_with_its_reason_and_reaches_the_caller(client, train) -> None:
    tracker = MLflowTracker("tiny")
    with pytest.raises(ValueError, match="Doe"):
        train(tracker, on_iteration=stop_with(ValueError("reading /data/Doe/1.dcm: truncated"), at=2))
    (run,) = runs(client)
    assert run.info.status == "FAILED"
    assert run.data.tags["monai_ext.error"] == "ValueError"
    assert history(client, tracker.run_id, "loss") == [(1, 1.0)]


def test_a_guard_that_stops_the_training_makes_it_failed(client, train) -> None:
    tracker = MLflowTracker("tiny")
    with pytest.raises(TrainingStoppedError):
        train(tracker, on_iteration=stop_with(TrainingStoppedError("the loss is nan"), at=2))
    assert runs(client)[0].info.status == "FAILED"


def test_an_error_before_the_run_is_open_still_reaches_the_caller(client, make_trainer) -> None:
    trainer = make_trainer()
    trainer.add_event_handler(Events.STARTED, stop_with(ValueError("no such checkpoint"), at=0))
    MLflowTracker("tiny").attach(trainer)
    with pytest.raises(ValueError, match="no such checkpoint"):
        trainer.run(BATCHES)
    assert runs(client) == []


def test_ctrl_c_is_killed(client, train) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(MLflowTracker("tiny"), on_iteration=stop_with(KeyboardInterrupt(), at=2))
    assert runs(client)[0].info.status == "KILLED"


ENDINGS = [(signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "status"), ENDINGS)
def test_a_signal_is_killed_with_the_usual_exit_status_and_the_old_handler_comes_back(
    client, train, number: int, status: int
) -> None:
    def terminate(engine: Engine) -> None:
        if engine.state.iteration == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(SystemExit) as exit_:
        train(MLflowTracker("tiny"), on_iteration=terminate)
    assert exit_.value.code == status
    assert runs(client)[0].info.status == "KILLED"
    assert signal.getsignal(number) is signal.SIG_DFL


@pytest.mark.parametrize(("number", "status"), [*ENDINGS, (signal.SIGINT, None)])
def test_a_signal_between_the_opening_of_the_run_and_the_first_image_is_killed(
    client, make_trainer, number: int, status: int | None
) -> None:
    trainer = make_trainer(MLflowTracker("tiny"))
    trainer.add_event_handler(Events.STARTED, lambda engine: os.kill(os.getpid(), number))
    with pytest.raises(KeyboardInterrupt if status is None else SystemExit):
        trainer.run(BATCHES)
    (run,) = runs(client)
    assert run.info.status == "KILLED"
    assert "loss" not in run.data.metrics


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_while_mlflow_is_waited_for_is_killed(
    client, train, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    opening = MLflowStore.open

    def slow(store: MLflowStore, opened: OpenRun) -> None:
        opening(store, opened)
        os.kill(os.getpid(), number)
        time.sleep(0.5)

    monkeypatch.setattr(MLflowStore, "open", slow)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        train(MLflowTracker("tiny"))
    assert [run.info.status for run in runs(client)] == ["KILLED"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_while_the_end_is_delivered_leaves_it_in_the_spool(
    client, train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    writing, looked = MLflowStore.write, threading.Event()

    def stuck(store: MLflowStore, operation: Operation) -> None:
        if isinstance(operation, EndRun):
            os.kill(os.getpid(), signal.SIGTERM)
            looked.wait()
            raise StoreUnreachable
        writing(store, operation)

    monkeypatch.setattr(MLflowStore, "write", stuck)
    with pytest.raises(SystemExit):
        train(MLflowTracker("tiny", output_dir=str(tmp_path)))
    monkeypatch.setattr(MLflowStore, "write", writing)
    try:
        (spool,) = tmp_path.glob("mlflow_*.jsonl")
        deliver(spool)
        assert [run.info.status for run in runs(client)] == ["FINISHED"]
    finally:
        looked.set()


def test_a_training_that_is_stopped_early_on_purpose_is_finished(client, train) -> None:
    def stop(engine: Engine) -> None:
        if engine.state.iteration == 2:
            engine.terminate(skip_completed=True)

    train(MLflowTracker("tiny"), on_iteration=stop)
    assert runs(client)[0].info.status == "FINISHED"


def test_the_next_run_is_new_and_never_attaches_to_one_that_still_runs(client, train) -> None:
    experiment = client.create_experiment("tiny")
    orphan = client.create_run(experiment)
    train(MLflowTracker("tiny"))
    train(MLflowTracker("tiny"))
    assert len(runs(client)) == 3
    assert client.get_run(orphan.info.run_id).info.status == "RUNNING"
    assert client.get_run(orphan.info.run_id).data.metrics == {}


def test_a_run_whose_process_was_killed_is_marked_by_the_next(client, train) -> None:
    experiment = client.create_experiment("tiny")
    child = subprocess.Popen(["sleep", "60"])
    dead = process_identity().replace(f"/{os.getpid()}/", f"/{child.pid}/")
    child.kill()
    child.wait()
    elsewhere = f"0123456789abcdef/{dead.split('/', 1)[1]}"
    tags = {"dead": dead, "alive": process_identity(), "elsewhere": elsewhere}
    made = {name: client.create_run(experiment, tags={PROCESS_TAG: tag}).info.run_id for name, tag in tags.items()}
    train(MLflowTracker("tiny"))
    statuses = {name: client.get_run(run_id).info.status for name, run_id in made.items()}
    assert statuses == {"dead": "KILLED", "alive": "RUNNING", "elsewhere": "RUNNING"}


def test_a_resumed_training_continues_its_run(client, train, make_trainer) -> None:
    first = MLflowTracker("tiny", parameters={"epochs": 2, "batch_size": 4})
    with pytest.raises(KeyboardInterrupt):
        train(first, on_iteration=stop_with(KeyboardInterrupt(), at=3))
    second = MLflowTracker("tiny", parameters={"epochs": 4, "batch_size": 4, "new": True})
    second.load_state_dict(first.state_dict())
    trainer = make_trainer(second)
    trainer.add_event_handler(Events.STARTED, lambda engine: None)
    trainer.load_state_dict({"iteration": 3, "max_epochs": 4, "epoch_length": 3})
    trainer.run(BATCHES, max_epochs=4)
    (run,) = runs(client)
    assert run.info.status == "FINISHED"
    assert second.run_id == first.run_id
    assert "monai_ext.error" not in run.data.tags
    assert {
        name: value for name, value in run.data.params.items() if name not in set(COLUMNS) - {"epochs", "batch_size"}
    } == {
        "epochs": "2",
        "epochs/from_iteration_3": "4",
        "images_seen/from_iteration_3": "48",
        "batch_size": "4",
        "new": "True",
    }
    assert [step for step, _ in history(client, second.run_id, "loss")] == [1, 2, *range(4, 13)]
    memory = history(client, second.run_id, "system/system_memory_usage_percentage")
    assert [step for step, _ in memory] == [0, 1]


def test_the_run_in_a_resumed_trainers_state_is_continued(client, train, make_trainer) -> None:
    first = train(MLflowTracker("tiny"))
    resumed = make_trainer()
    resumed.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "iteration", 3))
    resumed.state.mlflow_run_id = first.state.mlflow_run_id
    MLflowTracker("tiny").attach(resumed)
    resumed.run(BATCHES, max_epochs=2)
    assert len(runs(client)) == 1


def test_a_second_training_with_the_same_engine_is_a_second_run(client, make_trainer) -> None:
    trainer = make_trainer(MLflowTracker("tiny"))
    trainer.run(BATCHES, max_epochs=1)
    trainer.run(BATCHES, max_epochs=1)
    assert [run.info.status for run in runs(client)] == ["FINISHED", "FINISHED"]


def test_what_comes_after_the_end_is_no_part_of_the_run_and_no_warning(client, train, caplog) -> None:
    tracker = MLflowTracker("tiny")
    train(tracker)
    tracker.log_metrics({"late": 1.0}, step=1)
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert "late" not in run.data.metrics
    assert "not open" not in caplog.text


def test_a_run_that_was_deleted_is_replaced_by_a_new_one_that_says_so(client, train) -> None:
    first = MLflowTracker("tiny")
    train(first)
    client.delete_run(first.run_id)
    train(MLflowTracker("tiny", run_id=first.run_id))
    (run,) = runs(client)
    assert run.data.tags["monai_ext.continues_run_id"] == first.run_id


def test_a_deleted_experiment_is_refused_at_the_start_with_the_remedy(client, train) -> None:
    client.delete_experiment(client.create_experiment("tiny"))
    with pytest.raises(RuntimeError, match="mlflow experiments restore"):
        train(MLflowTracker("tiny"))
    assert "monai_ext-tracking" not in {thread.name for thread in threading.enumerate()}


def test_an_experiment_made_by_the_user_interface_takes_files_where_its_server_looks(
    client, train, tmp_path: Path, repository_folder: Path
) -> None:
    client.create_experiment("tiny", artifact_location="mlflow-artifacts:/7")
    tracker = MLflowTracker("tiny", config={"a": 1})
    train(tracker)
    folder = repository_folder / "mlartifacts" / "7" / tracker.run_id / "artifacts"
    assert json.loads((folder / "config.json").read_text()) == {"a": 1}


def test_processes_other_than_the_first_write_nothing(client, train, monkeypatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    tracker = MLflowTracker("tiny")
    train(tracker)
    tracker.log_metrics({"auc": 1.0})
    assert tracker.run_id is None
    assert tracker.state_dict() == {"run": ""}
    assert runs(client) == []


def test_a_checkpoint_holds_the_run_as_plain_text(train, client, tmp_path: Path) -> None:
    tracker = MLflowTracker("tiny")
    train(tracker)
    torch.save(tracker.state_dict(), tmp_path / "checkpoint.pt")
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True) == {"run": tracker.run_id}


def test_the_number_of_iterations_between_points_must_be_positive() -> None:
    with pytest.raises(ValueError, match="every_iterations must be at least 1"):
        MLflowTracker("tiny", every_iterations=0)
