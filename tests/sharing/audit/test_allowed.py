"""Ordinary idioms of MONAI's documentation and model zoo are not called malicious; our own bundles pass."""

import json
from pathlib import Path

import pytest

from helpers.bundle_files import PRETRAINING, STANDALONE
from helpers.hostile_bundles import write_folder
from monai_ext.sharing.audit import audit_bundle
from monai_ext.sharing.audit.allowed import harvest, known_to_be_allowed
from monai_ext.sharing.audit.judging_names import judge_target

PASSES = [
    {"x": {"_target_": "Compose", "transforms": [{"_target_": "LoadImaged", "keys": "image"}]}},
    {"x": {"_target_": "UNet", "spatial_dims": 3, "act": "PRELU"}},
    {"x": {"_target_": "monai.networks.nets.UNet", "channels": [16, 32]}},
    {"x": {"_target_": "monai.losses.DiceCELoss", "to_onehot_y": True, "softmax": True}},
    {"x": {"_target_": "torch.optim.AdamW", "params": "$@network.parameters()", "lr": 1e-4}},
    {"x": {"_target_": "monai.transforms.LoadImaged", "reader": "NibabelReader"}},
    {"imports": ["$import glob", "$import os"], "x": "$sorted(glob.glob(os.path.join(@dir, 'imagesTr', '*.nii.gz')))"},
    {"x": "$[{'image': i, 'label': l} for i, l in zip(@images, @labels)]"},
    {"x": "$@images[: int(0.8 * len(@images))]"},
    {"device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')"},
    {"x": "$monai.handlers.from_engine(['pred', 'label'])"},
    {"x": "$lambda x: x['pred'][0]"},
    {"x": "$@train#trainer.run()"},
    {"x": "$@validate::evaluator.run()", "y": "$@my_dims + 1"},
    {"x": "$monai.utils.set_determinism(seed=123)"},
    {"x": "$@network_def.to(@device)"},
    {"imports": ["$import torch.distributed as dist"], "x": "$dist.init_process_group(backend='nccl')"},
    {"imports": ["$from monai.networks.nets import BasicUNet"], "x": "$BasicUNet(spatial_dims=3)"},
    {"imports": ["$from datetime import datetime"], "x": "$datetime.now().strftime('%y%m%d_%H%M%S')"},
    {"x": "$@bundle_root + '/models'", "y": "$str(@bundle_root) + '/eval'"},
    {"x": "%device", "device": "cpu"},
    {"x": "$print('Configuration is done')", "y": "$None", "z": "$not @flag"},
    {"x": {"_target_": "monai.handlers.CheckpointLoader", "load_path": "$@ckpt_dir + '/model.pt'"}},
    {"x": {"_target_": "monai.inferers.SlidingWindowInferer", "roi_size": [96, 96, 96]}, "_desc_": "see os.system"},
    {"x": {"_target_": "torch.nn.CrossEntropyLoss", "_disabled_": "$not @use", "_requires_": "@y"}},
    {"x": "$setattr(torch.backends.cudnn, 'benchmark', True)"},
    {"dataset_dir": "/workspace/data/Task09_Spleen"},
    {"imports": ["$import re"], "x": "$re.compile('a')", "y": "$[m for m in @network.modules()]"},
    {"imports": ["$import os"], "rank": "$os.environ['LOCAL_RANK']", "x": "$torch.device(f'cuda:{@rank}')"},
    {"imports": ["$import os"], "x": "$int(os.environ.get('RANK', 0))", "y": "$os.getenv('WORLD_SIZE', '1')"},
    {"x": {"_target_": "FlexibleUNet", "backbone": "efficientnet-b2", "pretrained": False}},
    {"x": {"_target_": "torch.nn.parallel.DistributedDataParallel", "module": "@net", "device_ids": ["@device"]}},
    {"x": "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, 0))"},
    {"imports": ["$import torchvision"], "train#dataloader#shuffle": False, "+train#handlers": []},
    {"x": {"a": 1, "b": "@::a", "c": "$@::a + @::::y#0", "d": "%::a"}, "y": [2]},
    {"x": {"_target_": "SaveImaged", "writer": "NibabelWriter", "output_postfix": "seg", "keys": "pred"}},
    {"x": "$monai.data.DataLoader(@dataset, **{'batch_size': 1})", "y": "$'{}_{:03d}'.format(@name, @fold)"},
    {"x": "$@model.state_dict()", "y": "$max(@roi) / 2 ** 3", "z": "$f'{@name}_{@fold}'"},
]
EXPLAINED = {
    "computed-target": {"x": {"_target_": "$@model.forward"}},
    "own-code": {"imports": ["$import scripts"]},
    "unknown-import": {"imports": ["$import lung_nodule_ct_detection_helpers"]},
    "unknown-method": {"x": "$@trainer.something_of_its_own()"},
    "questioned-class": {"x": {"_target_": "PersistentDataset", "data": [], "cache_dir": "cache"}},
    "old-torch": {"x": "$@autoencoder_def.load_state_dict(torch.load(@bundle_root + '/models/model_autoencoder.pt'))"},
    "url": {"tracking_uri": "http://localhost:5000"},
    "outside-path": {"output_dir": "/workspace/out"},
}


def _report(folder: Path, config: dict):
    own = {"scripts/__init__.py": b""} if "$import scripts" in json.dumps(config) else {}
    return audit_bundle(write_folder(folder, {"configs/train.json": json.dumps(config).encode(), **own}))


@pytest.mark.parametrize("config", PASSES, ids=lambda config: json.dumps(config)[:60])
def test_an_ordinary_idiom_passes(config: dict, tmp_path: Path) -> None:
    report = _report(tmp_path, config)
    assert report.verdict == "passed", report.findings


@pytest.mark.parametrize("rule", EXPLAINED)
def test_an_idiom_that_cannot_be_judged_is_explained_in_a_sentence(rule: str, tmp_path: Path) -> None:
    finding = next(finding for finding in _report(tmp_path, EXPLAINED[rule]).findings if finding.rule == rule)
    assert len(finding.reason.split()) > 7
    assert "malicious" not in finding.reason


@pytest.mark.parametrize("bundle", PRETRAINING, ids=lambda path: path.name)
def test_our_own_pre_training_bundles_pass_with_no_finding(bundle: Path) -> None:
    assert audit_bundle(bundle).findings == []


def test_the_allow_list_is_what_our_bundles_name() -> None:
    configs = [
        json.loads(file.read_text()) for bundle in (*PRETRAINING, *STANDALONE) for file in bundle.glob("configs/*.json")
    ]
    assert harvest(configs) == known_to_be_allowed(), "run python scripts/harvest_allowed.py"


def test_no_name_of_the_allow_list_is_one_that_is_refused() -> None:
    nothing = harvest([])
    grave = {name: judge_target(name, nothing) for name in known_to_be_allowed().targets}
    assert {name for name, verdict in grave.items() if verdict and verdict[1].startswith("dangerous")} == set()
