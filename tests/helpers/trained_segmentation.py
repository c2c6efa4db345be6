"""A tiny trained segmentation bundle of stock MONAI, as training would have left it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import BasicUNet
from torch import nn

from helpers.bundle_files import REPOSITORY

NAME = "lesion_segmentation"
FEATURES = [8, 8, 8, 8, 8, 8]
NETWORK = {"spatial_dims": 2, "in_channels": 1, "out_channels": 3, "features": FEATURES}
SETTINGS: dict[str, Any] = {
    "task_kind": "segmentation",
    "network": {"name": "monai.networks.nets.BasicUNet", "arguments": NETWORK},
    "in_channels": 1,
    "image_size": 64,
    "labels": {"1": "lesion", "2": "effusion"},
    "codes": {"lesion": ["52988006", "SCT", "Lesion"]},
    "output": "softmax",
    "threshold": None,
    "window": "lung",
    "window_hu": [-1350.0, 150.0],
    "bundle": NAME,
    "bundle_version": "0.1.0",
    "splits": "/home/somebody/splits.json",
}


def build_network() -> nn.Module:
    """The network with random weights, the same each time, that gives each label somewhere."""
    torch.manual_seed(0)
    network = BasicUNet(spatial_dims=2, in_channels=1, out_channels=3, features=FEATURES).eval()
    with torch.no_grad():
        logits = network(torch.rand(4, 1, 64, 64))
        network.final_conv.bias -= logits.mean(dim=(0, 2, 3))
        network.final_conv.weight *= 10
        network.final_conv.bias *= 10
    return network


def write_segmentation_bundle(folder: Path, **settings: Any) -> Path:
    """Write the bundle with configs, documents and weights."""
    bundle = folder / NAME
    for part in ("configs", "docs", "models"):
        (bundle / part).mkdir(parents=True)
    model = REPOSITORY / "bundles" / "covid19_classification"
    shutil.copyfile(model / "LICENSE", bundle / "LICENSE")
    (bundle / "docs" / "README.md").write_text("# Lesions on CT slices\n")
    metadata = json.loads((model / "configs" / "metadata.json").read_text())
    changed = {"name": "Lesions on CT slices", "task": "segmentation", "eval_metrics": {}, "body_parts": ["CHEST"]}
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata | changed))
    config = {
        "network_def": {"_target_": "monai.networks.nets.BasicUNet", **NETWORK},
        "network": {"_target_": "torch.nn.Module.to", "self": "@network_def", "device": "cpu"},
    }
    (bundle / "configs" / "inference.json").write_text(json.dumps(config))
    torch.save(build_network().state_dict(), bundle / "models" / "model.pt")
    (bundle / "models" / "model.json").write_text(json.dumps(SETTINGS | settings))
    return bundle
