"""The model card of a package: what the model is, what it reached, for what it is meant, and for what it is not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ext.errors import BundleAuditError
from monai_ext.files import read_json
from monai_ext.sharing.trained_model import TrainedModel
from monai_ext.sharing.trained_segmenter import TrainedSegmenter

__all__ = ["model_card", "read_results", "read_shortcuts"]

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
SHOWN = (
    "dice",
    "surface_dice",
    "volume_error",
    "auc",
    "average_precision",
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "sensitivity",
    "specificity",
    "brier",
)


def model_card(
    model: TrainedModel,
    *,
    name: str,
    about: Mapping[str, Any],
    results: Mapping[str, Any] | None = None,
    shortcuts: Sequence[Mapping[str, Any]] = (),
    subgroups: Sequence[Mapping[str, Any]] = (),
    data_license: str = "",
) -> str:
    """Write the card, with the header that Hugging Face reads.

    Args:
        model: the classifier or segmentation network.
        name: of the bundle.
        about: of the manifest: MLflow run, fingerprint, versions.
        results: content of ``metrics.json`` by an evaluation of this very model.
        shortcuts: content of the JSON file by ``python -m monai_ext shortcuts`` on the same data.
        subgroups: rows by :func:`~monai_ext.sharing.subgroups.measure_subgroups`.
        data_license: what the bundle says about the licence of its data.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters["as_json"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.filters["estimate"] = _estimate_text
    environment.filters["one_line"] = lambda value: " ".join(str(value).split())
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=name,
        is_mask=isinstance(model, TrainedSegmenter),
        model=model,
        metadata=model.metadata,
        settings=model.settings,
        about=about,
        metrics=_metric_rows(results.get("metrics", {}) if results else {}),
        results=results,
        per_class=_class_rows(results),
        shortcuts=[(entry["predictor"], _metric_rows(entry.get("metrics", {}))) for entry in shortcuts],
        published=_published(model.metadata.get("eval_metrics")),
        subgroups=_subgroup_rows(subgroups),
        data_license=data_license.strip(),
        reference=model.reference,
    )


def read_results(path: str | Path) -> dict[str, Any]:
    """Read ``metrics.json`` of an evaluation.

    Raises:
        BundleAuditError: it is none.
    """
    content = _read(path)
    if not isinstance(content, dict) or not isinstance(content.get("metrics"), dict):
        raise BundleAuditError(
            f"{path} is no result of an evaluation: expected is metrics.json, which evaluate.json writes."
        )
    return content


def read_shortcuts(path: str | Path) -> list[dict[str, Any]]:
    """Read what ``python -m monai_ext shortcuts`` wrote.

    Raises:
        BundleAuditError: it is none.
    """
    content = _read(path)
    if not isinstance(content, list) or not all(isinstance(entry, dict) and "predictor" in entry for entry in content):
        raise BundleAuditError(
            f"{path} lists no trivial predictors: expected is the JSON file of `monai_ext shortcuts`."
        )
    return content


def _read(path: str | Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise BundleAuditError(f"Reading {path} for the model card: {error}.") from error


def _metric_rows(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, _estimate_text(metrics[name])) for name in SHOWN if metrics.get(name) is not None]


def _estimate_text(estimate: Any) -> str:
    """``0.79 (0.68 to 0.88)``: a value with its interval, however it was written down."""
    if isinstance(estimate, Mapping):
        estimate = [estimate.get("value"), estimate.get("low"), estimate.get("high")]
    if isinstance(estimate, (list, tuple)):
        value, low, high = [*estimate, None, None][:3]
        interval = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
        return "not defined" if value is None else f"{value:.3f}{interval}"
    return f"{estimate:.3f}" if isinstance(estimate, (int, float)) else str(estimate)


def _class_rows(results: Mapping[str, Any] | None) -> tuple[list[str], list[list[str]]]:
    rows = list((results or {}).get("per_class", []))
    columns = list(rows[0]) if rows else []
    cells = [
        [_estimate_text(row[c]) if isinstance(row[c], (dict, list, float)) else str(row[c]) for c in columns]
        for row in rows
    ]
    return columns, cells


def _subgroup_rows(subgroups: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """A header and cells; estimates of what is too small to be judged are dashes."""
    measured = [name for name in SHOWN if any(name in row for row in subgroups)]
    header = ["column", "value", "images", "groups", *measured]
    return header, [
        [str(row[c]) for c in header[:4]] + [_estimate_text(row[c]) if c in row else "too few" for c in measured]
        for row in subgroups
    ]


def _published(metrics: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """What the bundle's metadata says about earlier trainings, run by run."""
    found = []
    for name, runs in (metrics or {}).items() if isinstance(metrics, Mapping) else ():
        entries = runs if isinstance(runs, list) else [runs]
        dicts = [entry for entry in entries if isinstance(entry, Mapping)]
        for number, entry in enumerate(dicts, start=1):
            title = f"{name}, run {number}" if len(dicts) > 1 else name
            found.append((title, [(metric, _estimate_text(value)) for metric, value in entry.items()]))
    return found
