"""NVFlare's simulator on loopback: two sites in processes of their own, one of which is killed in round 2."""

import json
import os
import signal
import threading
import time

import psutil
import pytest
import torch

from helpers.federated_sites import MARK, tiny_bundle, two_folders
from monai_ext.errors import FederationError
from monai_ext.federated.bundle_config import plan_of
from monai_ext.federated.job import JobOptions, export_job, simulate

pytest.importorskip("nvflare", reason='NVFlare is not installed: pip install -e ".[federated]"')


@pytest.fixture
def importable(monkeypatch):
    """Processes of the simulator find the checkout that is tested."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def kill_when_round_one_is_complete(output, site):
    """End the process that trains at a site with SIGKILL; it is a child of the site's NVFlare process."""
    record = {}
    while not (record.get("rounds") and "mean" in record["rounds"][-1]):
        time.sleep(0.05)
        for file in output.glob("simulator/server/*/federated/federated.json"):
            record = json.loads(file.read_text())
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if f"--client {site}" in command and str(output) in command:
            for child in process.children(recursive=True):
                child.send_signal(signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_site_that_is_killed_in_round_two_is_survived_and_no_name_reaches_the_server(tmp_path, importable):
    data = two_folders(tmp_path)
    bundle = tiny_bundle(tmp_path, "spark_pretrain")
    output = tmp_path / "out"
    killer = threading.Thread(target=kill_when_round_one_is_complete, args=(output, "site-2"), daemon=True)
    killer.start()
    sites = {site: {"dataset_dir": str(folder), "num_workers": 0} for site, folder in data.items()}
    record = simulate(bundle, plan_of(bundle, rounds=3), sites, output, options=JobOptions(tracking=False))
    killer.join()
    assert record["status"] == "finished"
    assert [list(entry["sites"]) for entry in record["rounds"]] == [["site-1", "site-2"], ["site-1"], ["site-1"]]
    assert record["lost"] == {"site-2": {"round": 2, "reason": "train: it did not answer"}}
    assert all(value.isfinite().all() for value in torch.load(output / "model.pt", weights_only=True).values())
    log = next(output.glob("simulator/server/log.txt")).read_text()
    assert "site-2 is lost in round 2 while it was to train: it did not answer. The training goes on without it." in log
    for file in [*(output / "simulator" / "server").rglob("*"), *(output / "job").rglob("*"), output / "model.json"]:
        assert not file.is_file() or MARK.encode() not in file.read_bytes(), file


def test_a_job_brings_no_code_and_no_path(tmp_path):
    bundle = tiny_bundle(tmp_path / MARK, "covid19_classification")
    job = export_job(bundle, plan_of(bundle, rounds=2), tmp_path / "jobs", options=JobOptions(min_sites=2))
    files = {file.relative_to(job).as_posix() for file in job.rglob("*") if file.is_file()}
    config = {"app/config/config_fed_server.json", "app/config/config_fed_client.json"}
    assert files == {"meta.json", "app/config/first_weights.pt", *config}
    assert not [name for name in files if MARK.encode() in (job / name).read_bytes()]
    server = json.loads((job / "app/config/config_fed_server.json").read_text())
    assert server["workflows"][0]["args"]["description"]["classes"] == ["NonCOVID", "COVID"]
    client = json.loads((job / "app/config/config_fed_client.json").read_text())
    assert client["executors"][0]["executor"] == {"path": "monai_ext.federated.flare.SiteTraining", "args": {}}


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    bundle = tiny_bundle(tmp_path, "spark_pretrain")
    with pytest.raises(FederationError, match="is not empty: name a new folder"):
        simulate(bundle, plan_of(bundle, rounds=1), {}, tmp_path, options=JobOptions())
