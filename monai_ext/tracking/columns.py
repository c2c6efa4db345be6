"""What runs are compared by: the same columns and metrics, named alike, for every method and task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from monai_ext.parallel.processes import unwrap

__all__ = ["COLUMNS", "PRETRAINING_TASK", "UNKNOWN", "as_table", "describe_run", "headline", "name_columns"]

COLUMNS = (
    "method", "backbone", "images_seen", "epochs", "optimizer", "base_learning_rate", "batch_size", "precision",
    "device", "task", "labels_used", "fold", "parent",
)  # fmt: skip
UNKNOWN = "-"
PRETRAINING_TASK = "pre-training"
_ENDINGS = ("_classification", "_segmentation")
_WITH_INTERVAL = ("auc", "dice")
_BOUNDS = ("_low", "_high")
_REST = "_without_excluded"


def name_columns(
    settings: Mapping[str, Any],
    *,
    engine: Any,
    bundle: str | None = None,
    datasets: Mapping[str, Any] | None = None,
    parent_run_id: str | None = None,
) -> dict[str, str]:
    """``COLUMNS`` of a run: read from the engine where it knows, else from the settings, else ``"-"``.

    The budget is that of the training as it is run: ``images_seen`` in all processes, ``epochs`` begun. ``method`` is
    that of the pre-training, or ``scratch``; ``labels_used`` counts labelled training images.

    Args:
        settings: what a person chose.
        engine: trainer or evaluator, before its first iteration.
        bundle: name of the bundle that is run.
        datasets: by their use; of ``"training"`` the labels are counted.
        parent_run_id: of the run that this one builds upon.
    """
    network = unwrap(getattr(engine, "network", None))
    pretrains = hasattr(network, "encoder")
    columns = {
        "method": type(network).__name__ if pretrains else _start(settings),
        "backbone": settings.get("backbone"),
        "precision": _precision(settings, engine),
        "device": _device(engine),
        "task": PRETRAINING_TASK if pretrains else _task(bundle),
        "fold": settings.get("fold"),
        "parent": parent_run_id,
        **(_training(settings, engine) if getattr(engine, "optimizer", None) is not None else {}),
    }
    columns["labels_used"] = _labels_used((datasets or {}).get("training"), pretrains=pretrains)
    return {name: UNKNOWN if columns.get(name) is None else str(columns[name]) for name in COLUMNS}


def describe_run(columns: Mapping[str, str], settings: Mapping[str, Any]) -> str | None:
    """What ran, in a few words; None where nothing is known.

    >>> columns = {"method": "SwAV", "backbone": "resnet18", "images_seen": "40000", "task": "pre-training"}
    >>> describe_run(columns, {"image_size": 128})
    'SwAV resnet18 128 px 40k'
    >>> describe_run({**columns, "task": "covid19", "fold": "2"}, {"image_size": 128})
    'covid19 SwAV resnet18 128 px 40k fold 2'
    """
    names = [columns.get(name, UNKNOWN) for name in ("method", "backbone")]
    if set(names) == {UNKNOWN}:
        return None
    if columns.get("task", UNKNOWN) != PRETRAINING_TASK:
        names.insert(0, columns.get("task", UNKNOWN))
    if "image_size" in settings:
        names.append(f"{settings['image_size']} px")
    if columns.get("images_seen", UNKNOWN).isdigit():
        names.append(_short(int(columns["images_seen"])))
    if columns.get("fold", UNKNOWN) != UNKNOWN:
        names.append(f"fold {columns['fold']}")
    return " ".join(name for name in names if name != UNKNOWN)


def headline(metrics: Mapping[str, float]) -> dict[str, float]:
    """The values, and the interval of the AUC alone: each metric is a chart, and most bounds belong into a table.

    >>> headline({"auc": 0.9, "auc_low": 0.8, "auc_high": 1.0, "f1": 0.5, "f1_low": 0.4, "f1_without_excluded": 0.4})
    {'auc': 0.9, 'auc_low': 0.8, 'auc_high': 1.0, 'f1': 0.5}
    """
    return {name: value for name, value in metrics.items() if not _belongs_into_the_table(name, metrics)}


def as_table(metrics: Mapping[str, float], *, title: str) -> str:
    """All values with their intervals, in Markdown.

    >>> print(as_table({"auc": 0.9, "auc_low": 0.8, "auc_high": 1.0, "threshold": 0.25}, title="best"))
    | best | value | 95 % interval |
    |---|---|---|
    | auc | 0.9000 | 0.8000 to 1.0000 |
    | threshold | 0.2500 |  |
    """
    rows = [f"| {title} | value | 95 % interval |", "|---|---|---|"]
    for name, value in metrics.items():
        if _is_bound(name, metrics):
            continue
        low, high = (metrics.get(f"{name}{bound}") for bound in _BOUNDS)
        interval = "" if low is None or high is None else f"{low:.4f} to {high:.4f}"
        rows.append(f"| {name} | {value:.4f} | {interval} |")
    return "\n".join(rows)


def _training(settings: Mapping[str, Any], engine: Any) -> dict[str, Any]:
    epochs, length = engine.state.max_epochs, engine.state.epoch_length
    batch_size = settings.get("batch_size") or getattr(engine.state.dataloader, "batch_size", None)
    images = settings.get("images_seen")
    if images is None and None not in (epochs, length, batch_size):
        images = epochs * length * batch_size
    rate = settings.get("learning_rate", max(group["lr"] for group in engine.optimizer.param_groups))
    return {
        "images_seen": images,
        "epochs": epochs,
        "optimizer": type(engine.optimizer).__name__,
        "base_learning_rate": rate,
        "batch_size": batch_size,
    }


def _start(settings: Mapping[str, Any]) -> str | None:
    from monai_ext.networks.pretrained import name_start

    return name_start(settings["lineage"]) if isinstance(settings.get("lineage"), Mapping) else None


def _task(bundle: str | None) -> str | None:
    ending = next((ending for ending in _ENDINGS if str(bundle).endswith(ending)), "")
    return None if bundle is None else bundle.removesuffix(ending)


def _precision(settings: Mapping[str, Any], engine: Any) -> str | None:
    """What the engine computes in, else what the settings say."""
    from monai_ext.engines.automatic_choices import precision_of

    precision = precision_of(engine)
    return settings.get("precision") if precision is None else precision.name


def _device(engine: Any) -> str | None:
    device = getattr(engine.state, "device", None)
    if device is None:
        return None
    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _labels_used(training: Any, *, pretrains: bool) -> int | None:
    if pretrains:
        return 0
    labels = getattr(training, "labels", None)
    return None if labels is None else len(labels)


def _short(count: int) -> str:
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return str(count)


def _is_bound(name: str, metrics: Mapping[str, float]) -> bool:
    return any(name.endswith(bound) and name.removesuffix(bound) in metrics for bound in _BOUNDS)


def _belongs_into_the_table(name: str, metrics: Mapping[str, float]) -> bool:
    value = name.partition(_REST)[0]
    if _REST in name and value in metrics:
        return True
    return _is_bound(name, metrics) and name not in {
        f"{metric}{bound}" for metric in _WITH_INTERVAL for bound in _BOUNDS
    }
