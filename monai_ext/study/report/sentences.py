"""The summary in plain sentences, each of which follows from a number; a difference is claimed only where it may be."""

from __future__ import annotations

import math

from monai_ext.study.plan.study_plan import GRAY_LEVELS
from monai_ext.study.report.numbers import difference, number, probability
from monai_ext.study.report.results import Panel, StudyResults
from monai_ext.study.statistics import Comparison
from monai_ext.study.statistics.scored_cells import SMALL_TEST

__all__ = ["claim", "limits", "summary_sentences"]


def summary_sentences(results: StudyResults) -> list[str]:
    """One or more sentences for each protocol and task, then what all of them have in common."""
    sentences = []
    for panel in results.panels:
        sentences += _about_methods(results, panel)
        sentences += _about_gray_levels(results, panel)
    if results.missing:
        sentences.append(f"The study is not complete: {results.missing} cells have no record yet.")
    return sentences


def claim(method: str, other: str, comparison: Comparison) -> str:
    """What may be said of a comparison: a difference only where the interval and the corrected p allow it."""
    numbers = (
        f"AUC difference {difference(comparison.difference)}, corrected p {probability(comparison.p_holm)},"
        f" probability of a false claim {probability(comparison.false_claim)}"
    )
    if not comparison.may_be_claimed:
        return f"{method} and {other} are not told apart ({numbers})"
    which = "better" if comparison.difference.value > 0 else "worse"
    basis = "" if comparison.test is not None else " as trained in this one fold"
    return f"{method} is {which} than {other}{basis} ({numbers})"


def _about_methods(results: StudyResults, panel: Panel) -> list[str]:
    compared = _of_panel(results.against_reference, panel)
    if not compared:
        return []
    may = {key: compared_pair for key, compared_pair in compared.items() if compared_pair.may_be_claimed}
    if not may:
        (size, method), widest = max(compared.items(), key=lambda item: abs(item[1].difference.value))
        return [
            f"{panel.title}: no method is told apart from {results.reference} at any size; the largest of"
            f" {len(compared)} differences is that of {method} at {panel.size_title(size)},"
            f" {difference(widest.difference)}, whose corrected p is {probability(widest.p_holm)}."
        ]
    sentences = []
    for method in dict.fromkeys(method for _, method in may):
        for better in (True, False):
            of_method = {
                size: may[size, method]
                for size in panel.sizes
                if (size, method) in may and (may[size, method].difference.value > 0) is better
            }
            if of_method:
                sentences.append(f"{panel.title}: {_claim_of_sizes(method, results.reference, panel, of_method)}.")
    rest = sorted({method for _, method in compared} - {method for _, method in may})
    if rest:
        sentences.append(f"{panel.title}: {', '.join(rest)}: not told apart from {results.reference} at any size.")
    return sentences


def _claim_of_sizes(method: str, other: str, panel: Panel, claimed: dict[str, Comparison]) -> str:
    """One claim of several sizes, all in the same direction: its ends, and the least sure of its numbers."""
    sizes = list(claimed)
    if len(sizes) == 1:
        return f"at {panel.size_title(sizes[0])}, {claim(method, other, claimed[sizes[0]])}"
    first, last = (
        f"{difference(claimed[size].difference)} at {panel.size_title(size)}" for size in (sizes[0], sizes[-1])
    )
    which = "better" if claimed[sizes[0]].difference.value > 0 else "worse"
    every = f"all {len(sizes)}" if len(sizes) == len(panel.sizes) else f"{len(sizes)} of {len(panel.sizes)}"
    named = "" if len(sizes) == len(panel.sizes) else f": {', '.join(panel.size_title(size) for size in sizes)}"
    basis = (
        "" if all(comparison.test is not None for comparison in claimed.values()) else " as trained in this one fold"
    )
    p_value = max(comparison.p_holm or 0.0 for comparison in claimed.values())
    false_claim = max(comparison.false_claim for comparison in claimed.values())
    return (
        f"{method} is {which} than {other}{basis} at {every} sizes{named} (AUC difference {first}, {last}; largest"
        f" corrected p {probability(p_value)}, largest probability of a false claim {probability(false_claim)})"
    )


def _about_gray_levels(results: StudyResults, panel: Panel) -> list[str]:
    """Whether anything beats what is told without anatomy, at the largest size."""
    size = panel.sizes[-1]
    best = panel.best(size)
    comparison = results.against_gray.get((panel.protocol, panel.task, size, str(best)))
    if best is None or comparison is None:
        return []
    scores = {name: panel.arms[size, name].estimate("auc") for name in (best, GRAY_LEVELS)}
    beside = f"AUC {number(scores[best])} against {number(scores[GRAY_LEVELS])}"
    return [f"{panel.title}, at {panel.size_title(size)}: {claim(best, GRAY_LEVELS, comparison)}; {beside}."]


def limits(results: StudyResults) -> list[str]:
    """What the reader has to know before relying on the numbers."""
    sentences = [
        "Intervals are from the 2.5th to the 97.5th percentile over resamples of test patients: they tell what other"
        " patients would give, not what other trainings would.",
        "The corrected resampled t-test was derived for random splits; for folds it is an approximation. Its correction"
        " uses the numbers of test and of training images at each size, so that differences with few labels must be"
        " large to be told: what is not claimed may still be there. In simulations of methods that are alike it finds a"
        " difference at the 5 % level in 1 to 2 % of studies with all labels and in fewer than 0.5 % with a tenth of"
        " them; resampling folds and patients, which stands beside it, in 1 to 4 %; resampling patients alone, as the"
        " intervals do, in 7 to 21 %, since it takes the trained networks as they are.",
        "p-values are corrected by Holm's method over all comparisons of their kind in this report.",
        "Seeds and subsets are repeats within a fold; they are averaged and never counted as independent.",
        "Ranks take folds and sizes of a task as settings of their own, which they are not quite.",
    ]
    few = {panel.task: panel.arms[key].patients for panel in results.panels for key in list(panel.arms)[:1]}
    small = {task: patients for task, patients in few.items() if patients < SMALL_TEST}
    for task, patients in small.items():
        sentences.append(
            f"{task} has {patients} test patients: below {SMALL_TEST}, intervals by resampling patients are too narrow"
            " (with 12 patients they hold the truth in about 86 of 100 studies instead of 95)."
        )
    single = {panel.task for panel in results.panels for arm in panel.arms.values() if len(arm.folds) == 1}
    if single:
        sentences.append(
            f"{', '.join(sorted(single))}: one fold, so the p-values rest on resamples of patients and say nothing of"
            " other training sets."
        )
    if results.without_near_duplicates:
        sentences.append(
            "Some test images resemble training images (near duplicates): the results without them stand beside."
        )
    ungrouped = {record.cell["task"] for record in results.records if record.results.get("grouped_by") == "item"}
    if ungrouped:
        sentences.append(
            f"{', '.join(sorted(ungrouped))}: nothing tells which images are of one patient; every image counts as a"
            " patient, and intervals are too narrow by an unknown amount."
        )
    commits = {str(record.measured.get("code")) for record in results.records}
    if len(commits) > 1:
        sentences.append(f"Records were made by {len(commits)} states of the code; their inputs and protocols agree.")
    return sentences


def _of_panel(
    comparisons: dict[tuple[str, str, str, str], Comparison], panel: Panel
) -> dict[tuple[str, str], Comparison]:
    return {
        (size, method): compared_pair
        for (protocol, task, size, method), compared_pair in comparisons.items()
        if (protocol, task) == (panel.protocol, panel.task) and not math.isnan(compared_pair.difference.low)
    }
