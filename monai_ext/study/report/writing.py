"""Writes the report: a page, tables as CSV and LaTeX, pictures as PNG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from monai_ext.files import write_atomically
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.report.checklists import checklist
from monai_ext.study.report.drawing import Picture
from monai_ext.study.report.pictures import pictures
from monai_ext.study.report.rendering import render_page
from monai_ext.study.report.results import StudyResults, load_results
from monai_ext.study.report.sentences import limits, summary_sentences
from monai_ext.study.report.tables import (
    as_csv,
    as_latex,
    comparison_tables,
    cost_table,
    curve_tables,
    result_tables,
)

__all__ = ["write_report"]

_PAGE = "report.html"


def write_report(folder: StudyFolder, *, progress: Callable[[int, int], None] | None = None) -> list[Path]:
    """Render the report from the records of a study; gives the files, the page first.

    Args:
        folder: of the study.
        progress: called after each record with the number of those scored by now, and of all; scoring thousands takes
            minutes.

    Raises:
        StudyError: there is nothing to report, or a record was edited.
    """
    results = load_results(folder, progress=progress)
    drawn = pictures(results)
    scores, compared = result_tables(results.panels), comparison_tables(results)
    curves, cost = curve_tables(results), cost_table(results)
    contents: dict[str, bytes] = {
        _PAGE: _page(results, drawn).encode(),
        "results.csv": as_csv(scores).encode(),
        "differences.csv": as_csv(compared).encode(),
        "labels.csv": as_csv(curves).encode(),
        "cost.csv": as_csv([cost]).encode(),
        "tables.tex": as_latex([*scores, *compared, *curves, cost]).encode(),
        **{f"{picture.name}.png": picture.png for picture in drawn},
    }
    folder.report.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(folder.report / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
    return [folder.report / name for name in contents]


def _page(results: StudyResults, drawn: list[Picture]) -> str:
    curves = curve_tables(results)
    sections = [("summary", "Summary"), ("results", "Results"), ("differences", "Differences")]
    sections += [("labels", "How many labels")] if curves else []
    sections += [("cost", "Cost"), ("limits", "Limits"), ("items", "Reporting items")]
    apart = results.without_near_duplicates
    without = result_tables(apart, also=", without near duplicates") if apart else []
    return render_page(
        "report/page.html",
        name=results.plan["name"],
        description=results.plan["description"],
        compared=_what_was_compared(results),
        sections=sections,
        summary=summary_sentences(results),
        pictures=drawn,
        results=result_tables(results.panels),
        without=without,
        comparisons=comparison_tables(results),
        curves=curves,
        cost=cost_table(results),
        limits=limits(results),
        failed=results.failed,
        items=checklist(results),
    )


def _what_was_compared(results: StudyResults) -> str:
    """What was compared, in a sentence."""
    plan = results.plan
    methods = ", ".join(method["name"] for method in plan["methods"] if not method.get("smaller_budget_of"))
    tasks = ", ".join(task["name"] for task in plan["tasks"])
    return (
        f"{methods} on {tasks}: {len(results.records)} cells with records"
        + (f", {results.missing} without" if results.missing else "")
        + f"; the reference is {results.reference}."
    )
