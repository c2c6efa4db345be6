"""What the bundle tests share: which bundles there are, their configs merged, and settings for runs of a second.

Nothing here knows a bundle: a training is as short as the bundle's ``smoke.json`` says, and networks are made tiny
where a config builds a backbone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, run

from helpers.tiny_resnet import TINY_CLASSIFIER, TINY_RESNET, TINY_SEGMENTER, TINY_WIDTH

REPOSITORY = Path(__file__).resolve().parents[2]


def _family(ending: str) -> list[Path]:
    return sorted(path.parent.parent for path in (REPOSITORY / "bundles").glob(f"*_{ending}/configs/train.json"))


PRETRAINING = _family("pretrain")
CLASSIFICATION = _family("classification")
SEGMENTATION = _family("segmentation")
STANDALONE = CLASSIFICATION + SEGMENTATION
"""Their inference needs MONAI alone."""

BUNDLES = PRETRAINING + STANDALONE
OVERLAYS = ("evaluate", "multi_gpu_train", "smoke")
"""Configs that every bundle has and that are read after train.json; inference.json stands alone."""
VOLUMES = {"volumes": "train", "volumes_inference": "inference"}
"""Configs for volumes, which not every bundle has, and what they are read after."""

TINY_COMPONENTS = {
    "monai_ext.networks.build_encoder": TINY_RESNET,
    "monai_ext.networks.feature_width": TINY_WIDTH,
    "$'monai.networks.nets.' + @backbone": TINY_CLASSIFIER,
}
"""What stands in for the components by which configs build backbones."""


def tiny_model(bundle: Path, name: str = "train") -> dict[str, Any]:
    """Overrides that make the network of a bundle tiny, for any of its configs."""
    config = merged_config(bundle, name)
    tiny = {
        place: TINY_COMPONENTS[component["_target_"]]
        for place, component in walk(config)
        if isinstance(component, dict) and component.get("_target_") in TINY_COMPONENTS
    }
    if bundle.name in {other.name for other in SEGMENTATION}:
        tiny = dict.fromkeys(tiny, TINY_SEGMENTER)
    return tiny | ({"num_workers": 0} if "num_workers" in config else {})


def tiny_training(bundle: Path) -> dict[str, Any]:
    """Overrides for a training of a second, to be run with ``smoke.json``."""
    return tiny_model(bundle) | {"image_size": 64}


def config_files(bundle: Path, name: str) -> list[str]:
    """Arguments for ``--config_file``: the overlay after what it is laid over."""
    names = [VOLUMES[name], name] if name in VOLUMES else ["train", name] if name in OVERLAYS else [name]
    return [str(bundle / "configs" / f"{part}.json") for part in names]


def merged_config(bundle: Path, name: str) -> dict[str, Any]:
    return ConfigParser.load_config_files(config_files(bundle, name))


def walk(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every id below a config with its content, parents first."""
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for key, value in items:
        yield f"{prefix}{key}", value
        yield from walk(value, f"{prefix}{key}::")


def untracked(bundle: Path, name: str) -> dict[str, Any]:
    """Overrides that leave MLflow out, for runs that test something else."""
    return {
        f"{place}::enabled": False
        for place, component in walk(merged_config(bundle, name))
        if isinstance(component, dict) and component.get("_target_") == "monai_ext.tracking.MLflowTracker"
    }


def run_bundle(bundle: Path, name: str, **overrides: Any) -> None:
    """Run a config of a bundle with all that belongs to it, without tracking."""
    run(config_file=config_files(bundle, name), logging_file=False, **{**untracked(bundle, name), **overrides})
