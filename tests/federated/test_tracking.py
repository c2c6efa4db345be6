"""The rounds in the server's MLflow."""

import pytest

from monai_ext.errors import FederationError
from monai_ext.federated.plan import FederatedPlan
from monai_ext.federated.record import FederatedRecord
from monai_ext.federated.tracking import FederatedTracking

PLAN = FederatedPlan("spark_pretrain", rounds=2, overrides={"image_size": 64})


def runs(client):
    return client.search_runs([client.get_experiment_by_name("federated").experiment_id])


def test_metrics_are_curves_by_round_and_the_record_is_an_artifact(client, tmp_path):
    with FederatedTracking(PLAN, tmp_path / "out") as tracking:
        FederatedRecord(tmp_path / "out", PLAN, settings={})
        tracking.log_round(1, {"val_loss": 0.5, "sites": 2.0})
        tracking.log_round(2, {"val_loss": 0.25, "sites": 1.0})
    (run,) = runs(client)
    curve = client.get_metric_history(run.info.run_id, "val_loss")
    assert [(point.step, point.value) for point in curve] == [(1, 0.5), (2, 0.25)]
    assert run.data.params["image_size"] == "64"
    assert run.info.status == "FINISHED"
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["federated.json"]


def test_a_training_that_fails_ends_the_run_as_failed(client, tmp_path):
    with pytest.raises(FederationError), FederatedTracking(PLAN, tmp_path):
        raise FederationError("Too few sites.")
    assert runs(client)[0].info.status == "FAILED"


def test_without_tracking_nothing_is_asked_of_mlflow(client, tmp_path):
    with FederatedTracking(PLAN, tmp_path, enabled=False) as tracking:
        tracking.log_round(1, {"val_loss": 0.5})
    assert client.get_experiment_by_name("federated") is None
