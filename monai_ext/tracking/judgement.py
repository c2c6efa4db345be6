"""A judgement with intervals: few numbers as metrics, all of them as a table in the run's description."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["as_table", "headline"]

_WITH_INTERVAL = "auc"
_BOUNDS = ("_low", "_high")
_REST = "_without_excluded"


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


def _is_bound(name: str, metrics: Mapping[str, float]) -> bool:
    return any(name.endswith(bound) and name.removesuffix(bound) in metrics for bound in _BOUNDS)


def _belongs_into_the_table(name: str, metrics: Mapping[str, float]) -> bool:
    value = name.partition(_REST)[0]
    if _REST in name and value in metrics:
        return True
    return _is_bound(name, metrics) and name not in {f"{_WITH_INTERVAL}{bound}" for bound in _BOUNDS}
