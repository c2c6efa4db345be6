"""Draw SparK: patches are hidden, the visible ones carried as blocks, the decoder paints: spark.svg beside this file.

Run ``python docs/drawings/spark.py`` from the root of the repository. The slice is a phantom's.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, Rectangle

from monai_ext.data.phantoms import phantom_series

HERE = Path(__file__).resolve().parent
GRID, PATCH = 6, 32
VISIBLE, TOKEN = "#2f7fb8", "#d9a441"


def main() -> None:
    """Write the drawing."""
    matplotlib.rcParams.update({"svg.hashsalt": "spark", "svg.fonttype": "none", "font.family": "sans-serif"})
    image = _slice()
    visible = np.zeros(GRID * GRID, bool)
    visible[np.random.default_rng(3).permutation(GRID * GRID)[: round(GRID * GRID * 0.4)]] = True
    visible = visible.reshape(GRID, GRID)
    figure, axes = plt.subplots(figsize=(11, 4.4))
    _image(axes, image, visible, left=0.0)
    _blocks(axes, image, visible, left=8.6)
    _maps(axes, visible, left=17.2)
    _picture(axes, image, left=24.8)
    for x, text in ((6.3, "carry only\nwhat is seen"), (15.0, "ResNet on\nthe blocks"), (22.4, "decoder")):
        axes.add_patch(FancyArrowPatch((x, 3.0), (x + 1.9, 3.0), arrowstyle="-|>", mutation_scale=14, color="#555"))
        axes.text(x + 0.95, 3.35, text, ha="center", va="bottom", fontsize=8.5)
    axes.set_xlim(-0.3, 31.2)
    axes.set_ylim(-2.1, 7.4)
    axes.set_aspect("equal")
    axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    figure.savefig(HERE / "spark.svg", metadata={"Date": None}, bbox_inches="tight")


def _slice() -> np.ndarray:
    """A chest phantom's slice as gray levels, ``(192, 192)``."""
    pixels = np.asarray(phantom_series("thorax", seed=4, slices=9, size=GRID * PATCH).hounsfield[4], np.float32)
    return np.clip((pixels + 1000) / 1400, 0, 1)


def _image(axes: plt.Axes, image: np.ndarray, visible: np.ndarray, *, left: float) -> None:
    axes.imshow(image, cmap="gray", extent=(left, left + GRID, 0, GRID), interpolation="bilinear", zorder=1)
    for row, column in np.argwhere(~visible):
        axes.add_patch(Rectangle((left + column, GRID - 1 - row), 1, 1, fc="#f2f2f2", ec="white", lw=0.8, zorder=2))
    axes.text(left + 3, 6.35, "60 % of the 32 x 32 patches hidden", ha="center", fontsize=10)
    axes.text(
        left + 3, -0.5, "mask: whole patches, anew for every\nimage and step", ha="center", va="top", fontsize=8.5
    )


def _blocks(axes: plt.Axes, image: np.ndarray, visible: np.ndarray, *, left: float) -> None:
    for number, (row, column) in enumerate(np.argwhere(visible)):
        x, y = left + number % 4 * 1.5, 4.9 - number // 4 * 1.5
        patch = image[row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
        axes.add_patch(Rectangle((x - 0.13, y - 0.13), 1.26, 1.26, fc="none", ec=VISIBLE, lw=0.9, ls=(0, (2, 2))))
        axes.imshow(patch, cmap="gray", vmin=0, vmax=1, extent=(x, x + 1, y, y + 1), zorder=2)
    axes.text(left + 2.75, 6.35, "active blocks", ha="center", fontsize=10)
    axes.text(
        left + 2.75,
        -0.5,
        "dense blocks of side 32, 16, 8, 4, 2, 1;\nconvolutions first gather a halo\nfrom visible neighbours (dashed)",
        ha="center",
        va="top",
        fontsize=8.5,
    )


def _maps(axes: plt.Axes, visible: np.ndarray, *, left: float) -> None:
    for level in range(4):
        x, y = left + 0.45 * level, 0.6 + 0.75 * level
        cell = 3.0 / GRID
        for row in range(GRID):
            for column in range(GRID):
                color = VISIBLE if visible[row, column] else TOKEN
                axes.add_patch(
                    Rectangle(
                        (x + column * cell, y + (GRID - 1 - row) * cell),
                        cell,
                        cell,
                        fc=color,
                        ec="white",
                        lw=0.4,
                        zorder=10 - level,
                    )
                )
    axes.text(left + 2.2, 6.35, "four feature maps", ha="center", fontsize=10)
    axes.text(
        left + 2.2, -0.5, "empty places are filled with\na learnt token (yellow)", ha="center", va="top", fontsize=8.5
    )


def _picture(axes: plt.Axes, image: np.ndarray, *, left: float) -> None:
    axes.imshow(image, cmap="gray", extent=(left, left + GRID, 0, GRID), interpolation="bilinear")
    axes.text(left + 3, 6.35, "the target", ha="center", fontsize=10)
    axes.text(
        left + 3,
        -0.5,
        "loss on hidden patches, each in units of\nits own mean and deviation; the encoder\nstays an ordinary ResNet",
        ha="center",
        va="top",
        fontsize=8.5,
    )


if __name__ == "__main__":
    main()
