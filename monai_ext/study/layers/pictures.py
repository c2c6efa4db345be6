"""The page's pictures: curves over layers and frequencies, similarities, and receptive fields to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from monai_ext.metrics.classification import Estimate
from monai_ext.networks.stage_maps import STAGES
from monai_ext.study.layers.results import LayerResults
from monai_ext.study.report.drawing import COLORS, GRAY, INK, MARKERS, SOFT, Picture, draw_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["pictures"]

_FIELD_LAYERS = STAGES[2:]
_FREQUENCY_LAYERS = (STAGES[0], STAGES[2], STAGES[4])
_SHOWN_NAME = 16


def pictures(results: LayerResults) -> dict[str, Picture]:
    """All pictures by name."""
    count = len(results.encoders)
    drawn = [
        _of_layers(results, "auc", "AUC of a linear probe", "Linear probe by layer"),
        _of_layers(results, "rank", "effective rank", "Effective rank by layer", logarithmic=True),
        draw_picture(
            "similarity",
            "Similarity by layer",
            "Linear CKA of the same layer of two encoders, unbiased: 0 nothing in common, 1 the same but for rotation"
            " and scale. Without intervals, which are in the table.",
            lambda figure: _similarities(figure, results),
            height=3 * (0.9 + 0.28 * count),
        ),
        draw_picture(
            "fields",
            "Effective receptive fields",
            "How much each pixel of an image moves the central unit of a layer: the root mean square of its gradient"
            " over images, each field by its own largest value, on the whole input.",
            lambda figure: _fields(figure, results),
            height=0.5 + len(_FIELD_LAYERS) * min(2.2, 6.2 / count) + 0.2,
        ),
        _of_layers(results, "field_half", "side with half of it, in pixels", "Size of the effective receptive field"),
        draw_picture(
            "frequencies",
            "Reaction to noise by its frequency",
            "How far maps move when noise of equal energy in one band of frequencies is added to the images, in units"
            " of how far maps of different images are apart. Bars are 95 % intervals over patients.",
            lambda figure: _reactions(figure, results),
        ),
        _of_layers(
            results,
            "high_share",
            "share of high frequencies",
            f"Share of high frequencies: {results.cut:g} cycles per image and more",
        ),
    ]
    return {picture.name: picture for picture in drawn}


def _of_layers(results: LayerResults, measure: str, label: str, title: str, *, logarithmic: bool = False) -> Picture:
    caption = "Bars are 95 % intervals over patients; random weights are gray."
    return draw_picture(
        f"{measure}_by_layer", title, caption, lambda figure: _curves(figure, results, measure, label, logarithmic)
    )


def _style(results: LayerResults, name: str) -> dict[str, Any]:
    """Random weights are gray; beyond eight encoders colours come again with other marks."""
    encoder = next(encoder for encoder in results.encoders if encoder.name == name)
    if not encoder.trained:
        place = [other.name for other in results.encoders if not other.trained].index(name)
        return {"color": GRAY, "marker": "x+1234|_"[place % 8], "linestyle": ":"}
    place = [other.name for other in results.trained].index(name)
    color, marker = COLORS[place % len(COLORS)], MARKERS[(place + place // len(COLORS)) % len(MARKERS)]
    return {"color": color, "marker": marker, "linestyle": "-"}


def _draw_line(
    axes: Axes, places: np.ndarray, estimates: list[Estimate], style: dict[str, Any], label: str | None
) -> None:
    values = [estimate.value for estimate in estimates]
    axes.plot(places, values, label=label, markersize=4, linewidth=1.3, **style)
    axes.vlines(
        places, [e.low for e in estimates], [e.high for e in estimates], color=style["color"], linewidth=1, alpha=0.7
    )


def _curves(figure: Figure, results: LayerResults, measure: str, label: str, logarithmic: bool) -> None:
    axes = figure.subplots()
    count = len(results.encoders)
    for place, encoder in enumerate(results.encoders):
        estimates = [results.estimate(measure, (encoder.name, stage)) for stage in STAGES]
        beside = 0.5 * (place - (count - 1) / 2) / max(count, 1)  # next to each other, so that bars do not hide bars
        _draw_line(axes, np.arange(len(STAGES)) + beside, estimates, _style(results, encoder.name), encoder.name)
    axes.set_xticks(range(len(STAGES)), STAGES)
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    axes.set_ylabel(label)
    axes.grid(visible=True, axis="y")
    figure.legend(loc="outside lower center", ncols=3)


def _similarities(figure: Figure, results: LayerResults) -> None:
    """A square of all pairs for each layer; the darker, the more alike."""
    from matplotlib.patches import Rectangle

    names = [encoder.name for encoder in results.encoders]
    grid = figure.subplots(3, 2).ravel()
    for number, (axes, stage) in enumerate(zip(grid, STAGES, strict=False)):
        for row, first in enumerate(names):
            for column, second in enumerate(names):
                value = results.alike((first, stage), (second, stage)).value
                shade = float(np.clip(value, 0, 1)) if value == value else 0.0
                axes.add_patch(Rectangle((column, row), 1, 1, facecolor=COLORS[0], alpha=0.75 * shade, linewidth=0))
                text = "-" if value != value else f"{max(value, 0):.2f}".replace("0.", ".", 1)
                text = "1" if first == second else text
                axes.text(
                    column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=6.5 if len(names) < 8 else 5
                )
        axes.set(xlim=(0, len(names)), ylim=(len(names), 0), aspect="equal")
        axes.set_title(stage, fontsize=9)
        is_left = number % 2 == 0
        axes.set_yticks(
            np.arange(len(names)) + 0.5, [_short(n) for n in names] if is_left else [""] * len(names), fontsize=7
        )
        axes.set_xticks(np.arange(len(names)) + 0.5, [_short(n) for n in names], rotation=90, fontsize=7)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    grid[-1].set_axis_off()


def _fields(figure: Figure, results: LayerResults) -> None:
    from matplotlib.patches import Rectangle

    grid = np.atleast_2d(figure.subplots(len(_FIELD_LAYERS), len(results.encoders), squeeze=False))
    for row, stage in enumerate(_FIELD_LAYERS):
        for column, encoder in enumerate(results.encoders):
            axes, amplitude = grid[row, column], results.amplitudes[encoder.name, stage]
            axes.imshow(amplitude / max(float(amplitude.max()), 1e-30), cmap="magma", vmin=0, vmax=1)
            side = results.values["field_half"][encoder.name, stage].value
            place = results.fields[encoder.name, stage].center(amplitude.shape[0])
            if side == side:
                corner = place - side / 2
                axes.add_patch(Rectangle((corner, corner), side, side, fill=False, edgecolor="#ffffff", linewidth=0.8))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if row == 0:
                axes.set_title(_short(encoder.name), fontsize=7, color=INK)
            if column == 0:
                axes.set_ylabel(stage, fontsize=8)


def _reactions(figure: Figure, results: LayerResults) -> None:
    for number, (axes, stage) in enumerate(
        zip(figure.subplots(1, len(_FREQUENCY_LAYERS), sharey=True), _FREQUENCY_LAYERS, strict=True)
    ):
        for encoder in results.encoders:
            middles = np.array([np.sqrt(low * high) for low, high in results.bands[encoder.name]])
            estimates = [reaction.estimate for reaction in results.reactions[encoder.name, stage]]
            label = None if number else encoder.name
            _draw_line(axes, middles, estimates, _style(results, encoder.name), label)
        axes.axvline(results.cut, color=SOFT, linewidth=0.8, linestyle="--")
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_yscale("log")
        axes.set_title(stage, fontsize=9)
        axes.set_xlabel("cycles per image")
        axes.grid(visible=True)
    figure.axes[0].set_ylabel("change of the map")
    figure.legend(loc="outside lower center", ncols=3)


def _short(name: str) -> str:
    return name if len(name) <= _SHOWN_NAME else f"{name[: _SHOWN_NAME - 1]}…"
