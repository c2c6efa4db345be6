"""What stays of a training when its server dies, and how metrics of sites become one."""

import json

import torch

from monai_ext.federated.plan import FederatedPlan
from monai_ext.federated.record import FederatedRecord

PLAN = FederatedPlan("spark_pretrain", rounds=2)


def test_after_each_round_the_folder_is_complete(tmp_path):
    logged = []

    class Log:
        def log_round(self, number, metrics):
            logged.append((number, metrics))

    record = FederatedRecord(tmp_path, PLAN, settings={"image_size": 64}, log=Log())
    assert json.loads((tmp_path / "federated.json").read_text())["status"] == "preparing"
    record.begin({"a": 3, "b": 1})
    record.trained(1, {"a": 3, "b": 1}, {"a": {"loss": 1.0}, "b": {"loss": 5.0}})
    record.end_round(1, {"w": torch.ones(1)}, {"a": {"auc": 0.5}, "b": {"auc": 0.9}})
    content = json.loads((tmp_path / "federated.json").read_text())
    assert content["status"] == "running"
    assert content["rounds"][0]["sites"]["b"] == {"images": 1, "training": {"loss": 5.0}, "validation": {"auc": 0.9}}
    assert logged == [(1, {"loss": 2.0, "auc": 0.6, "sites": 2.0})]
    assert record.summary() == " loss 2.0000 auc 0.6000"
    assert json.loads((tmp_path / "model.json").read_text())["metrics"] == {"loss": 2.0, "auc": 0.6}
    record.finish("too few sites")
    assert json.loads((tmp_path / "federated.json").read_text())["status"] == "failed: too few sites"
