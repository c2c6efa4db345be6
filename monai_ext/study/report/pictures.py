"""The report's pictures: SVG that takes the page's colours, and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_ext.study.plan.study_plan import GRAY_LEVELS
from monai_ext.study.report.drawing import COLORS, GRAY, INK, MARKERS, SOFT, Picture, draw_picture, file_name
from monai_ext.study.report.results import PROTOCOL_NAMES, Panel, StudyResults
from monai_ext.study.statistics import Comparison, CriticalDifference, critical_difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["pictures"]

_READABLE_RATIO = 1.15
"""Of two ticks on a logarithmic axis whose texts do not touch."""


def pictures(results: StudyResults) -> list[Picture]:
    """All pictures of a report, learning curves first."""
    found = []
    for panel in results.panels:
        name = file_name(f"{panel.protocol}_{panel.task}")
        found.append(
            draw_picture(
                f"curves_{name}",
                f"Learning curves: {panel.title}",
                "AUC on test by number of labels, mean over folds and repeats; bands and bars are 95 % intervals over"
                " test patients."
                + (" Dashed: sets with equally many labels a class." if len(_drawn_together(panel.sizes)) > 1 else ""),
                lambda figure, panel=panel: _curves(figure, panel),  # type: ignore[misc]
            )
        )
        compared = {
            key[2:]: comparison
            for key, comparison in results.against_reference.items()
            if key[:2] == (panel.protocol, panel.task)
        }
        if compared:
            found.append(
                draw_picture(
                    f"differences_{name}",
                    f"Differences from {results.reference}: {panel.title}",
                    "Paired AUC differences with 95 % intervals over test patients; filled marks may be claimed (the"
                    " interval excludes 0 and the corrected p is below .05).",
                    lambda figure, panel=panel, compared=compared: _differences(figure, panel, compared),  # type: ignore[misc]
                    height=1.2 + 0.22 * len(compared),
                )
            )
    for protocol, ranks in _ranks(results).items():
        found.append(
            draw_picture(
                f"ranks_{protocol}",
                f"Mean ranks: {PROTOCOL_NAMES[protocol]}",
                f"Mean rank by AUC over {ranks.blocks} settings (task, size, fold), 1 is best. Methods joined by a bar"
                f" are not told apart (Nemenyi, critical difference {ranks.difference:.2f}); Friedman p ="
                f" {ranks.p_value:.3g}.",
                lambda figure, ranks=ranks: _rank_axis(figure, ranks),  # type: ignore[misc]
                height=1.0 + 0.28 * len(ranks.methods),
            )
        )
    return found + _budget_pictures(results)


def _style(methods: Sequence[str], method: str) -> dict[str, Any]:
    if method == GRAY_LEVELS:
        return {"color": GRAY, "marker": "x", "linestyle": ":"}
    place = [name for name in methods if name != GRAY_LEVELS].index(method)
    return {"color": COLORS[place % len(COLORS)], "marker": MARKERS[place % len(MARKERS)], "linestyle": "-"}


def _curves(figure: Figure, panel: Panel) -> None:
    axes = figure.subplots()
    for place, method in enumerate(panel.methods):
        sizes = [size for size in panel.sizes if (size, method) in panel.arms]
        style = _style(panel.methods, method)
        for number, (part, dashes) in enumerate(_drawn_together(sizes)):
            estimates = [panel.arms[size, method].estimate("auc") for size in part]
            beside = 1 + 0.02 * place if len(panel.sizes) == 1 else 1.0  # one size: next to each other
            labels = [beside * panel.labels[size] for size in part]
            values = [estimate.value for estimate in estimates]
            low, high = [estimate.low for estimate in estimates], [estimate.high for estimate in estimates]
            look = style if dashes is None else style | {"linestyle": dashes}
            axes.plot(labels, values, label="" if number else method, markersize=4, linewidth=1.4, **look)
            axes.fill_between(labels, low, high, color=style["color"], alpha=0.12, linewidth=0)
            if len(part) == 1:
                axes.plot([labels[0]] * 2, [low[0], high[0]], color=style["color"], linewidth=1)
    axes.set_xscale("log")
    ticks = sorted({panel.labels[size] for size in panel.sizes})
    axes.set_xticks(ticks, _labels_apart(ticks))
    axes.minorticks_off()
    if len(ticks) == 1:
        axes.set_xlim(0.9 * ticks[0], 1.25 * ticks[0])
    axes.set_xlabel("labelled training images a class (logarithmic)")
    axes.set_ylabel("AUC on test")
    axes.grid(visible=True)
    figure.legend(loc="outside lower center", ncols=4)


def _drawn_together(sizes: Sequence[str]) -> list[tuple[list[str], str | None]]:
    """Sizes that one line joins, and its dashes: sets with equally many labels a class are another kind than fractions.

    >>> _drawn_together(["10_per_class", "0.5", "100_per_class", "training"])
    [(['0.5', 'training'], None), (['10_per_class', '100_per_class'], '--')]
    """
    balanced = [size for size in sizes if size.endswith("_per_class")]
    fractions = [size for size in sizes if size not in balanced]
    if len(fractions) < 2:
        return [(list(sizes), None)]
    return [(fractions, None), (balanced, "--")] if balanced else [(fractions, None)]


def _labels_apart(counts: Sequence[float]) -> list[str]:
    """Texts of ticks on a logarithmic axis; empty where the next tick's would run into it."""
    following = [*counts[1:], np.inf]
    return [
        f"{count:.0f}" if after > _READABLE_RATIO * count else ""
        for count, after in zip(counts, following, strict=True)
    ]


def _differences(figure: Figure, panel: Panel, compared: dict[tuple[str, str], Comparison]) -> None:
    axes = figure.subplots()
    rows = [(s, m) for s in panel.sizes for m in panel.methods if (s, m) in compared]
    for row, (size, method) in enumerate(rows):
        comparison = compared[size, method]
        style = _style(panel.methods, method)
        color = style["color"]
        axes.plot([comparison.difference.low, comparison.difference.high], [row, row], color=color, linewidth=1.6)
        fill = color if comparison.may_be_claimed else "none"
        axes.plot(
            [comparison.difference.value],
            [row],
            marker=style["marker"],
            color=color,
            markerfacecolor=fill,
            markersize=5,
        )
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{method}, {panel.size_title(size)}" for size, method in rows])
    axes.invert_yaxis()
    axes.set_xlabel("AUC difference")
    axes.grid(visible=True, axis="x")


def _ranks(results: StudyResults) -> dict[str, CriticalDifference]:
    """Mean ranks for each protocol, over the settings that all methods have."""
    found = {}
    for protocol in dict.fromkeys(panel.protocol for panel in results.panels):
        panels = [panel for panel in results.panels if panel.protocol == protocol]
        methods = [m for m in panels[0].methods if all(m in panel.methods for panel in panels)]
        rows = []
        for panel in panels:
            for size in panel.sizes:
                arms = [panel.arms.get((size, method)) for method in methods]
                if any(arm is None for arm in arms):
                    continue
                means = [arm.fold_means("auc") for arm in arms if arm is not None]
                if len({len(curve) for curve in means}) == 1:
                    rows += list(np.stack(means, axis=1))
        if len(rows) >= 2 and len(methods) >= 3:
            found[protocol] = critical_difference(np.array(rows), methods)
    return found


def _rank_axis(figure: Figure, ranks: CriticalDifference) -> None:
    axes = figure.subplots()
    count = len(ranks.methods)
    for row, (method, rank) in enumerate(zip(ranks.methods, ranks.mean_ranks, strict=True)):
        axes.plot([1, rank], [row, row], color=SOFT, linewidth=0.6)
        axes.plot([rank], [row], marker="o", color=INK, markersize=5)
        axes.text(rank + 0.06, row, f"{rank:.2f}", va="center", fontsize=8)
        del method
    for number, (first, last) in enumerate(ranks.groups):
        place = count + 0.1 + 0.35 * number
        ends = ranks.mean_ranks[first] - 0.03, ranks.mean_ranks[last] + 0.03
        axes.plot(ends, [place, place], color=COLORS[0], linewidth=3)
    axes.set_yticks(range(count), ranks.methods)
    axes.set_ylim(count + 0.4 + 0.35 * len(ranks.groups), -0.6)
    axes.set_xlim(0.9, count + 0.4)
    axes.set_xlabel("mean rank")


def _budget_pictures(results: StudyResults) -> list[Picture]:
    """For families with several budgets: the score at each size by images seen in pre-training."""
    members: dict[str, list[tuple[int, str]]] = {}
    for method in results.plan["methods"]:
        seen = method["images_seen"] or (
            results.plan["pretraining"]["images_seen"] if method["source"] == "bundle" else 0
        )
        if seen and method["source"] != "scratch":
            members.setdefault(method["family"], []).append((seen, method["name"]))
    several = {family: sorted(budgets) for family, budgets in members.items() if len({seen for seen, _ in budgets}) > 1}
    if not several:
        return []
    found = []
    for panel in results.panels:
        there = [size for size in panel.sizes if _budget_points(panel, size, several)]
        sizes = list(dict.fromkeys([*there[-1:], *there[:1]]))
        if not sizes:
            continue
        found.append(
            draw_picture(
                file_name(f"budget_{panel.protocol}_{panel.task}"),
                f"Pre-training budget: {panel.title}",
                "AUC by images seen in pre-training, with 95 % intervals over patients.",
                lambda figure, panel=panel, sizes=sizes: _budgets(figure, panel, sizes, several),  # type: ignore[misc]
            )
        )
    return found


def _budget_points(
    panel: Panel, size: str, several: dict[str, list[tuple[int, str]]]
) -> dict[str, list[tuple[int, Any]]]:
    """Of each family with several budgets at this size, images seen and score."""
    points = {
        family: [(seen, panel.arms[size, name].estimate("auc")) for seen, name in budgets if (size, name) in panel.arms]
        for family, budgets in several.items()
    }
    return {family: scored for family, scored in points.items() if len(scored) > 1}


def _budgets(figure: Figure, panel: Panel, sizes: list[str], several: dict[str, list[tuple[int, str]]]) -> None:
    """The largest training set and the smallest one beside it."""
    families = list(several)
    for axes, size in zip(np.atleast_1d(figure.subplots(1, len(sizes), sharey=True)), sizes, strict=True):
        for family, points in _budget_points(panel, size, several).items():
            place = families.index(family)
            color, (seen, aucs) = COLORS[place % len(COLORS)], zip(*points, strict=True)
            label = family if size == sizes[0] else None
            axes.plot(seen, [auc.value for auc in aucs], color=color, marker=MARKERS[place % 8], label=label)
            axes.fill_between(seen, [auc.low for auc in aucs], [auc.high for auc in aucs], color=color, alpha=0.12)
        axes.set_xscale("log")
        ticks = sorted({seen for budgets in several.values() for seen, _ in budgets})
        axes.set_xticks(ticks, [f"{seen / 1000:g}" for seen in ticks])
        axes.minorticks_off()
        axes.set_title(panel.size_title(size), fontsize=9)
        axes.set_xlabel("thousand images seen")
        axes.grid(visible=True)
    figure.axes[0].set_ylabel("AUC on test")
    figure.legend(loc="outside lower center", ncols=4)
