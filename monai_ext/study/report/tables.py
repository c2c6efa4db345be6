"""The report's tables as rows of text, for the page, CSV and LaTeX."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monai_ext.foreign_text import csv_text
from monai_ext.metrics.classification import Estimate
from monai_ext.study.report.curves import forecasts, targets
from monai_ext.study.report.numbers import difference, labels, number, probability
from monai_ext.study.report.results import PROTOCOL_NAMES, Panel, StudyResults
from monai_ext.study.statistics import Comparison
from monai_ext.study.statistics.scored_cells import METRICS

__all__ = ["Table", "as_csv", "as_latex", "comparison_tables", "cost_table", "curve_tables", "result_tables"]

_INTERVAL = re.compile(r"([+-]?[.0-9]+) \[([^,]+), ([^,]+)\]")
_METRIC_NAMES = {"auc": "AUC", "macro_f1": "macro F1", "accuracy": "accuracy"}


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: of the table.
        columns: headings.
        rows: of text or numbers.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def result_tables(panels: Sequence[Panel], *, also: str = "") -> list[Table]:
    """Scores by method and size, one table for each panel and metric."""
    tables = []
    for panel in panels:
        columns = ("method", *(panel.size_title(size) for size in panel.sizes))
        for metric in METRICS:
            rows = [
                (
                    method,
                    *(
                        number(panel.arms[size, method].estimate(metric)) if (size, method) in panel.arms else "-"
                        for size in panel.sizes
                    ),
                )
                for method in panel.methods
            ]
            tables.append(Table(f"{panel.title}: {_METRIC_NAMES[metric]}{also}", columns, tuple(rows)))
    return tables


def comparison_tables(results: StudyResults) -> list[Table]:
    """Differences from the reference, from the best other method, and from gray levels."""
    kinds = (
        (f"Against {results.reference}", results.against_reference),
        ("Against the best", results.against_best),
        ("Against gray levels", results.against_gray),
    )
    columns = (
        "protocol",
        "task",
        "labels",
        "method",
        "AUC difference",
        "p",
        "p (Holm)",
        "p (resampled)",
        "false claim",
        "claimed",
    )
    titles = {(panel.protocol, panel.task): panel for panel in results.panels}
    return [
        Table(
            title,
            columns,
            tuple(_comparison_row(titles[key[:2]], key, comparison) for key, comparison in compared.items()),
        )
        for title, compared in kinds
        if compared
    ]


def _comparison_row(panel: Panel, key: tuple[str, str, str, str], comparison: Comparison) -> tuple[Any, ...]:
    protocol, task, size, method = key
    return (
        PROTOCOL_NAMES[protocol],
        task,
        panel.size_title(size),
        method,
        difference(comparison.difference),
        probability(comparison.p_value),
        probability(comparison.p_holm),
        probability(comparison.p_resampled),
        probability(comparison.false_claim),
        "yes" if comparison.may_be_claimed else "no",
    )


def curve_tables(results: StudyResults) -> list[Table]:
    """Labels needed for targets, and forecasts with their back-tests."""
    wanted = [float(target) for target in results.plan["targets"]]
    needed, said = [], []
    for panel in results.panels:
        for method in panel.methods:
            reached = targets(panel, method, wanted)
            if reached:
                needed.append(
                    (PROTOCOL_NAMES[panel.protocol], panel.task, method, *(labels(estimate) for estimate in reached))
                )
            for prediction in forecasts(panel, method, list(results.plan["forecast_labels"])):
                if prediction.gain is None:
                    said.append(
                        (
                            PROTOCOL_NAMES[panel.protocol],
                            panel.task,
                            method,
                            f"+{prediction.more}",
                            prediction.refusal,
                            "-",
                        )
                    )
                    continue
                tested = prediction.tested
                back = "not possible: the sizes before are too small"
                if tested is not None:
                    back = (
                        f"at {tested.labels:.0f}: forecast {number(tested.forecast)}, measured"
                        f" {number(Estimate(tested.measured))}, error {difference(Estimate(tested.error))}"
                    )
                gain = difference(prediction.gain)
                said.append((PROTOCOL_NAMES[panel.protocol], panel.task, method, f"+{prediction.more}", gain, back))
    tables = []
    if needed and wanted:
        columns = ("protocol", "task", "method", *(f"AUC {target:g}" for target in wanted))
        tables.append(Table("Labels a class at which a score is reached", columns, tuple(needed)))
    if said:
        columns = (
            "protocol",
            "task",
            "method",
            "more labels a class",
            "expected AUC gain",
            "back-test (largest hidden)",
        )
        tables.append(Table("Forecast", columns, tuple(said)))
    return tables


def cost_table(results: StudyResults) -> Table:
    """What was computed: cells, images seen, hours, energy at an assumed power."""
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])
    for record in results.records:
        key = (str(record.cell["protocol"]), str(record.cell["method"]))
        seen = record.results.get("images_seen", record.measured.get("images_seen", 0))
        row = sums[key]
        row[0] += 1
        row[1] += float(seen or 0)
        row[2] += float(record.measured["seconds"]) / 3600
        row[3] = max(row[3], float(record.measured["peak_memory_mib"]))
    watts = float(results.plan["watts"])
    rows = tuple(
        (
            "pre-training" if protocol == "pretraining" else PROTOCOL_NAMES[protocol],
            method,
            f"{count:.0f}",
            f"{seen:,.0f}" if seen else "-",
            f"{hours:.3f}",
            f"{hours * watts / 1000:.4f}",
            f"{memory:.0f}",
        )
        for (protocol, method), (count, seen, hours, memory) in sums.items()
    )
    columns = ("protocol", "method", "cells", "images seen", "hours", f"kWh at {watts:g} W", "peak memory, MiB")
    return Table("Cost", columns, rows)


def as_csv(tables: Sequence[Table]) -> str:
    """Tables under each other, the title in the first column; an interval has two columns of its own.

    So all are plain numbers, and nothing that a spreadsheet might take for a formula.

    >>> print(as_csv([Table("A", ("method", "gain"), (("x", "+.031 [-.004, +.066]"), ("y", "-")))]), end="")
    table,method,gain,gain low,gain high
    A,x,+.031,-.004,+.066
    A,y,,,
    """
    parts: list[str] = []
    last: tuple[str, ...] = ()
    for table in tables:
        split = [any(_INTERVAL.fullmatch(str(row[place])) for row in table.rows) for place in range(len(table.columns))]
        columns = [
            name
            for column, is_split in zip(table.columns, split, strict=True)
            for name in ((column, f"{column} low", f"{column} high") if is_split else (column,))
        ]
        rows = [
            [table.title, *(part for cell, is_split in zip(row, split, strict=True) for part in _parts(cell, is_split))]
            for row in table.rows
        ]
        header = ("table", *columns)
        parts.append(csv_text(rows[0], rows[1:]) if rows and header == last else csv_text(header, rows))
        last = header
    return "".join(parts)


def _parts(cell: Any, is_split: bool) -> list[Any]:
    """What a spreadsheet gets of a cell: nothing for what is missing, and a number and its limits apart."""
    cell = "" if cell == "-" else cell
    found = _INTERVAL.fullmatch(str(cell)) if is_split else None
    if found:
        return list(found.groups())
    return [cell, "", ""] if is_split else [cell]


def as_latex(tables: Sequence[Table]) -> str:
    """A table environment for each, for the package booktabs."""
    parts = []
    for table in tables:
        lines = [
            r"\begin{table}",
            rf"\caption{{{_escaped(table.title)}}}",
            rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}",
            r"\toprule",
            " & ".join(_escaped(column) for column in table.columns) + r" \\",
            r"\midrule",
            *(" & ".join(_escaped(str(cell)) for cell in row) + r" \\" for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    """Text that LaTeX shows as it is.

    >>> _escaped("10 % & more_or_less")
    '10 \\\\% \\\\& more\\\\_or\\\\_less'
    """
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}
    return "".join(special.get(sign, f"\\{sign}" if sign in "&%$#_{}" else sign) for sign in text)
