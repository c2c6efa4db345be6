"""What the bundle tests share: where the bundles are, their configs merged, and settings for runs of a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from helpers.tiny_resnet import TINY_RESNET

REPOSITORY = Path(__file__).resolve().parents[2]


def _family(ending: str) -> list[Path]:
    return sorted(path.parent.parent for path in (REPOSITORY / "bundles").glob(f"*_{ending}/configs/train.json"))


PRETRAINING = _family("pretrain")
CLASSIFICATION = _family("classification")
OVERLAYS = ("evaluate", "multi_gpu_train", "smoke")
"""Configs that are read after train.json; inference.json stands alone."""

TINY_MODEL = {"network_def::encoder": TINY_RESNET, "num_workers": 0}
TINY_TRAINING = {**TINY_MODEL, "image_size": 64, "decoder_width": 32, "batch_size": 4, "epochs": 2}


TINY_HEADS = {"network_def::projection::in_features": 32, "hidden_features": 16, "projection_features": 8}


def tiny_model(method: str) -> dict[str, Any]:
    """Overrides that make the network of a pre-training bundle tiny, for any of its configs."""
    if method == "spark":
        return TINY_MODEL
    encoder = "network_def::encoder::module" if method == "moco_v2" else "network_def::encoder"
    return {encoder: TINY_RESNET, **TINY_HEADS, "num_workers": 0}


def tiny_training(method: str) -> dict[str, Any]:
    """Overrides for a training of a second."""
    if method == "spark":
        return TINY_TRAINING
    own = {
        "byol": {},
        "moco_v2": {"queue_size": 8, "batch_norm_groups": 2},
        "swav": {"prototypes": 6, "queue_size": 8, "image_size": 64, "local_size": 32, "frozen_iterations": 1},
    }
    return {**tiny_model(method), "image_size": 32, "batch_size": 4, "images_seen": 24, **own[method]}


def config_files(bundle: Path, name: str) -> list[str]:
    """Arguments for ``--config_file``: the overlay after what it is laid over."""
    names = ["train", name] if name in OVERLAYS else [name]
    return [str(bundle / "configs" / f"{part}.json") for part in names]


def merged_config(bundle: Path, name: str) -> dict[str, Any]:
    return ConfigParser.load_config_files(config_files(bundle, name))


def walk(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every id below a config with its content, parents first."""
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for key, value in items:
        yield f"{prefix}{key}", value
        yield from walk(value, f"{prefix}{key}::")


def without_tracking(bundle: Path, name: str) -> dict[str, Any]:
    """Overrides that take MLflow out of a config, for runs that test something else."""
    return {
        f"{place}::_disabled_": True
        for place, component in walk(merged_config(bundle, name))
        if isinstance(component, dict) and component.get("_target_") == "monai_ext.tracking.MLflowTracker"
    }
