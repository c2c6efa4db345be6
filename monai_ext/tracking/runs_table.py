"""Which columns MLflow's table of runs has: a saved view of the experiment, since the page shows few by itself.

MLflow's page keeps a saved view as a tag of the experiment (``mlflow.sharedViewState.<key>``), lists it in its menu,
and opens it at an address with ``viewStateShareKey=<key>``. Versions without that menu know the address only, and take
the columns from the top of the same JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from monai_ext.tracking.columns import PRETRAINING_TASK, UNKNOWN

__all__ = [
    "VIEW_TAG", "compared_cells", "compared_metrics", "compared_parameters", "empty_view", "table_address",
    "with_columns",
]  # fmt: skip

_KEY = "compared"
VIEW_TAG = f"mlflow.sharedViewState.{_KEY}"
_NAME = "Compared"
_PARAMETERS = ("method", "backbone", "images_seen", "epochs", "batch_size", "precision")
_PARAMETERS_OF_TASKS = ("task", "labels_used", "fold")
_METRICS = re.compile(r"knn_accuracy_.+|(best|test)_(auc|dice)(_low|_high)?")
_TAGS_OF_CELLS = ("study.method", "study.task", "study.size", "study.protocol")
_METRICS_OF_CELLS = ("auc", "macro_f1", "dice")
_LARGEST_TAG = 5000
"""Characters that MLflow's databases keep of an experiment's tag."""


def compared_parameters(values: Mapping[str, str]) -> list[str]:
    """Columns for those parameters of a run that runs are compared by; what is unknown gets none.

    >>> compared_parameters({"method": "SwAV", "task": "pre-training", "fold": "-", "seed": "0"})
    ['params.`method`']
    >>> compared_parameters({"method": "SwAV", "task": "covid19", "fold": "2"})
    ['params.`method`', 'params.`task`', 'params.`fold`']
    """
    names = _PARAMETERS if values.get("task") == PRETRAINING_TASK else (*_PARAMETERS, *_PARAMETERS_OF_TASKS)
    return [f"params.`{name}`" for name in names if values.get(name, UNKNOWN) != UNKNOWN]


def compared_metrics(names: Iterable[str]) -> list[str]:
    """Columns for the metrics that runs are compared by: k-NN accuracy, and a judgement's headline with its interval.

    >>> compared_metrics(["loss", "knn_accuracy_covid_noncovid", "best_auc", "best_auc_low", "auc"])
    ['metrics.`knn_accuracy_covid_noncovid`', 'metrics.`best_auc`', 'metrics.`best_auc_low`']
    """
    return [f"metrics.`{name}`" for name in names if _METRICS.fullmatch(name)]


def compared_cells(tags: Iterable[str], metrics: Iterable[str]) -> list[str]:
    """Columns for the cells of a study, which are runs below its own.

    >>> compared_cells(["study.method", "study.fold"], ["auc", "seconds"])
    ['tags.`study.method`', 'metrics.`auc`']
    """
    known, judged = set(tags), set(metrics)
    columns = [f"tags.`{name}`" for name in _TAGS_OF_CELLS if name in known]
    return columns + [f"metrics.`{name}`" for name in _METRICS_OF_CELLS if name in judged]


def empty_view(now: int) -> str:
    """The tag's value for a new experiment; ``now`` in milliseconds."""
    return _as_tag([], now)


def with_columns(view: str, columns: Iterable[str]) -> str | None:
    """The tag's value with further columns; None where it has them, has no room, or is a person's own by now."""
    try:
        content = json.loads(view)
        known, made = content["selectedColumns"], content["createdAt"]
        is_ours = json.loads(content["state"])["selectedColumns"] == known
    except (ValueError, KeyError, TypeError):
        return None
    added = [column for column in columns if column not in known]
    if not added or not is_ours:
        return None
    value = _as_tag([*known, *added], made)
    return value if len(value) <= _LARGEST_TAG else None


def table_address(server: str, experiment_id: str) -> str:
    """Where MLflow's page shows the runs of an experiment with these columns.

    >>> table_address("http://127.0.0.1:5000", "1")
    'http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=compared'
    """
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs?viewStateShareKey={_KEY}"


def _as_tag(columns: list[str], made: int) -> str:
    shown = {"selectedColumns": columns}
    return json.dumps({"name": _NAME, "createdAt": made, "updatedAt": made, "state": json.dumps(shown), **shown})
