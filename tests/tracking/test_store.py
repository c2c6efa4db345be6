"""The tracker against a real MLflow server, which is killed and comes back while training goes on."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.artifacts
import mlflow.pytorch
import pytest
import torch
from ignite.engine import Engine, Events
from PIL import Image

from monai_ext.tracking import MLflowTracker, deliver
from monai_ext.tracking import delivery as delivery_module

START_SECONDS = 120

pytestmark = pytest.mark.slow


class Server:
    """``mlflow server`` on a free port of the loopback device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        options = f"--workers 1 --host 127.0.0.1 --port {self.port} --backend-store-uri sqlite:///mlflow.db".split()
        with open(self.folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *options],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_healthy()

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _wait_until_healthy(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"mlflow server did not start: {(self.folder / 'server.log').read_text()[-2000:]}")


class SlowProxy:
    """Hands on to a server what it gets, each piece after a while, and nothing while its gate is closed."""

    def __init__(self, port: int, *, delay_s: float) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self._port, self._delay_s = port, delay_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._hand_on, args=(ours, theirs, self._delay_s), daemon=True).start()
            threading.Thread(target=self._hand_on, args=(theirs, ours, 0.0), daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket, delay_s: float) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(2**20):
                time.sleep(delay_s)
                self.gate.wait()
                target.sendall(content)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "mlflow.db")
    server = Server(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def _at_the_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setattr(delivery_module, "INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(delivery_module, "FIRST_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(delivery_module, "LAST_RETRY_SECONDS", 0.1)
    caplog.set_level(logging.INFO, logger="monai_ext.tracking")


@pytest.fixture
def client(server: Server) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=server.uri)


def losses(client: Any, run_id: str) -> list[int]:
    return sorted(point.step for point in client.get_metric_history(run_id, "loss"))


def said(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in message for message in caplog.messages)


def test_metrics_pictures_and_files_reach_the_server(client, train, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "picture.png")
    tracker = MLflowTracker("tiny", config={"a": 1})

    def draw(engine: Engine) -> None:
        if engine.state.iteration == 1:
            tracker.log_metrics({"strange": float("nan"), "large": float("inf")})
            tracker.log_picture("picture.png", name="reconstruction")

    train(tracker, on_iteration=draw)
    assert client.get_run(tracker.run_id).info.status == "FINISHED"
    assert losses(client, tracker.run_id) == [1, 2, 3, 4, 5, 6]
    assert {"config.json", "images", "packages.txt"} <= {item.path for item in client.list_artifacts(tracker.run_id)}


def test_a_trained_network_becomes_a_registered_model_of_the_server(client, make_trainer, tmp_path: Path) -> None:
    """With a linear network: what is registered, and where from, does not depend on the layers."""
    tracker = MLflowTracker(
        "tiny", parameters={"in_channels": 1, "image_size": 8}, output_dir=str(tmp_path), register="at the server"
    )
    trainer = make_trainer(tracker)
    trainer.network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    trainer.run([torch.zeros(4, 1)], max_epochs=1)
    (version,) = client.search_model_versions("name = 'at the server'")
    assert (version.run_id, version.status) == (tracker.run_id, "READY")
    place = mlflow.artifacts.download_artifacts(
        "models:/at the server/1", tracking_uri=client.tracking_uri, dst_path=str(tmp_path)
    )
    images = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(mlflow.pytorch.load_model(place)(images), trainer.network(images))


def test_a_server_that_dies_during_training_gets_everything_when_it_is_back(
    server: Server, client, make_trainer, tmp_path: Path, caplog
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "picture.png")
    tracker = MLflowTracker("tiny", output_dir=str(tmp_path))
    trainer = make_trainer(tracker)

    @trainer.on(Events.ITERATION_COMPLETED)
    def die_and_come_back(engine: Engine) -> None:
        if engine.state.iteration == 4:
            server.kill()
            tracker.log_picture("picture.png", name="reconstruction")
        if engine.state.iteration == 20:
            wait_for(lambda: said(caplog, "does not answer"))
            server.start()
            wait_for(lambda: said(caplog, "answers again"))

    trainer.run([0] * 12, max_epochs=2)
    assert losses(client, tracker.run_id) == list(range(1, 25))
    assert client.get_run(tracker.run_id).info.status == "FINISHED"
    assert [item.path for item in client.list_artifacts(tracker.run_id, "images") if item.path.endswith(".png")]
    assert said(caplog, "does not answer") == 1
    assert list(tmp_path.glob("*.jsonl")) == []


def test_a_slow_server_gets_everything_and_is_never_waited_for_while_training(
    server: Server, client, make_trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers nothing between the first and the last iteration: a training that waits would never get there."""
    proxy = SlowProxy(server.port, delay_s=0.02)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.uri)
    tracker = MLflowTracker("slow", every_iterations=1)
    trainer = make_trainer(tracker)
    trainer.add_event_handler(Events.ITERATION_STARTED(once=1), proxy.gate.clear)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=400), proxy.gate.set)
    trainer.run([torch.zeros(4, 1)] * 400, max_epochs=1)
    proxy.close()
    assert losses(client, tracker.run_id) == list(range(1, 401))
    assert client.get_run(tracker.run_id).info.status == "FINISHED"


def test_without_a_server_the_run_is_delivered_later(server: Server, client, train, tmp_path, caplog) -> None:
    with socket.socket() as taken:  # bound but not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{taken.getsockname()[1]}"
        os.environ["MLFLOW_TRACKING_URI"] = away
        tracker = MLflowTracker("tiny", parameters={"epochs": 2}, output_dir=str(tmp_path))
        train(tracker)
    assert tracker.run_id is None
    assert tracker.state_dict()["run"].startswith("pending:")
    assert said(caplog, "does not answer") == 1
    assert said(caplog, "monai_ext.tracking.deliver(") == 1
    (spool,) = tmp_path.glob("mlflow_*.jsonl")
    os.environ["MLFLOW_TRACKING_URI"] = server.uri
    run_id = deliver(spool)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["epochs"] == "2"
    assert losses(client, run_id) == [1, 2, 3, 4, 5, 6]
    assert not spool.exists()


def test_a_server_that_accepts_and_never_answers_does_not_hold_up_the_training(
    train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        train(MLflowTracker("tiny", output_dir=str(tmp_path)))
    assert said(caplog, "does not answer") == 1
    assert len(list(tmp_path.glob("mlflow_*.jsonl"))) == 1


def test_a_resumed_training_brings_what_the_first_part_could_not(
    server: Server, client, train, make_trainer, tmp_path: Path
) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    first = MLflowTracker("tiny", output_dir=str(tmp_path))
    train(first, epochs=1)
    os.environ["MLFLOW_TRACKING_URI"] = server.uri
    second = MLflowTracker("tiny", output_dir=str(tmp_path))
    second.load_state_dict(first.state_dict())
    trainer = make_trainer(second)
    trainer.load_state_dict({"iteration": 3, "max_epochs": 1, "epoch_length": 3})
    trainer.run([0] * 3, max_epochs=2)
    assert losses(client, second.run_id) == [1, 2, 3, 4, 5, 6]
    assert client.get_run(second.run_id).info.status == "FINISHED"
    assert list(tmp_path.glob("*.jsonl")) == []


def test_a_file_that_is_no_spool_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text('["tags", {}]\n')
    with pytest.raises(ValueError, match="does not begin with an MLflow run"):
        deliver(tmp_path / "other.jsonl")


def wait_for(condition) -> None:
    end = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > end:
            pytest.fail("waited in vain")
        time.sleep(0.01)
