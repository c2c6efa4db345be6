"""Cells on Ray: the same records as here, also when a node is killed in the middle."""

import os
import threading
import time

import pytest

from helpers.small_study import results_of, run_small, small_plan, write_study_pictures
from monai_ext.errors import StudyError
from monai_ext.study.executors import RayExecutor

ray = pytest.importorskip("ray", reason='Ray is not installed: pip install -e ".[ray]"')


@pytest.fixture(autouse=True)
def quiet_ray(monkeypatch):
    """No token file, no usage statistics, no dashboard; workers as important as the test is."""
    for name, value in (
        ("AUTH_MODE", "disabled"),
        ("USAGE_STATS_ENABLED", "0"),
        ("worker_niceness", "0"),
        ("raylet_start_wait_time_s", "300"),
    ):
        monkeypatch.setenv(f"RAY_{name}", value)


@pytest.fixture
def two_nodes(monkeypatch):
    """A cluster of two nodes, each with raylet, workers and object store of its own, on loopback."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]))
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    yield cluster, second
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_node_that_is_killed_in_the_middle_loses_nothing(two_nodes, tmp_path):
    cluster, second = two_nodes
    data = write_study_pictures(tmp_path / "pictures")
    fine_tuning = {"fractions": [0.5], "overrides": {"epochs": 1, "head_only_epochs": 0}}
    content = small_plan(data, protocols={"fine_tuning": fine_tuning, "probe": {"fractions": [0.5]}})
    folder = tmp_path / "ray"

    def kill_when_one_is_done():
        while not list((folder / "records").glob("*.json")):
            time.sleep(0.1)
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill_when_one_is_done)
    killer.start()
    executor = RayExecutor(address=cluster.address)
    result = run_small(content, folder, executor=executor)
    killer.join()
    assert sum(node["Alive"] for node in ray.nodes()) == 1
    executor.close()
    assert not result.failed
    run_small(content, tmp_path / "here")
    assert results_of(folder) == results_of(tmp_path / "here")


def test_without_a_cluster_at_the_address_it_is_told(monkeypatch):
    monkeypatch.setattr(ray, "init", _refuse)
    with pytest.raises(StudyError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        RayExecutor(address="127.0.0.1:1")


def _refuse(**_):
    raise ConnectionError("Could not find any running Ray instance.")
