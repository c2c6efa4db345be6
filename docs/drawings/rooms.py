"""Draw the rooms of the package and who imports whom, from the imports as they are: rooms.svg beside this file.

An arrow that others imply is left out: where cli imports sharing and sharing bundle, none is drawn from cli to bundle.

Run ``python docs/drawings/rooms.py`` from the root of the repository. Floors are read from ``tests/test_house.py``,
which holds the direction of the arrows.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COLORS = ["#dbe9f6", "#d8f0e3", "#fdf1d3", "#f9dfd3", "#ead9f2", "#d9e6dd", "#e6e2f3", "#f3dce6", "#dddddd"]


def main() -> None:
    """Write the drawing."""
    house = runpy.run_path(str(ROOT / "tests" / "test_house.py"))
    arrows = house["arrows"](house["PACKAGE"])
    present = {path.stem for path in house["PACKAGE"].iterdir()} - {"__main__"}
    floors = [sorted(rooms & present) for rooms in house["FLOORS"] if rooms & present]
    matplotlib.rcParams.update({"svg.hashsalt": "rooms", "svg.fonttype": "none", "font.family": "sans-serif"})
    half_width = 1.1 * (max(map(len, floors)) - 1) + 1.0  # of the widest floor with its boxes
    figure, axes = plt.subplots(figsize=(1.8 * half_width, 1.15 * len(floors)))
    place = {}
    for height, rooms in enumerate(floors):
        for column, room in enumerate(rooms):
            x = (column - (len(rooms) - 1) / 2) * 2.2
            place[room] = (x, height)
            box = FancyBboxPatch(
                (x - 0.85, height - 0.2),
                1.7,
                0.4,
                boxstyle="round,pad=0.04",
                fc=COLORS[height % len(COLORS)],
                ec="#555",
            )
            axes.add_patch(box)
            axes.text(x, height, room, ha="center", va="center", fontsize=10)
    for room, targets in arrows.items():
        implied = {below for target in targets for below in _below(arrows, target)}
        for target in set(targets) - implied:
            if room in place:
                _arrow(axes, place[room], place[target])
    axes.set_xlim(-half_width, half_width)
    axes.set_ylim(-0.6, len(floors) - 0.4)
    axes.axis("off")
    figure.tight_layout()
    figure.savefig(HERE / "rooms.svg", metadata={"Date": None})


def _below(arrows: dict[str, dict[str, set[str]]], room: str) -> set[str]:
    """All rooms that a room stands on."""
    return {under for target in arrows.get(room, {}) for under in {target} | _below(arrows, target)}


def _arrow(axes: plt.Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    flat = start[1] == end[1]
    axes.add_patch(
        FancyArrowPatch(
            (start[0], start[1] - (0 if flat else 0.24)),
            (end[0], end[1] + (0 if flat else 0.24)),
            arrowstyle="-|>",
            mutation_scale=7,
            lw=0.9,
            color="#667788",
            connectionstyle="arc3,rad=0.25" if flat else "arc3,rad=0.04",
            shrinkA=24 if flat else 0,
            shrinkB=24 if flat else 0,
            zorder=0,
        )
    )


if __name__ == "__main__":
    main()
