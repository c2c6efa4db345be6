"""Draw the way from DICOM to a signed bundle, and the low-data study: journey.svg and study.svg beside this file.

Run ``python docs/drawings/journey.py`` from the root of the repository.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

HERE = Path(__file__).resolve().parent
DATA, LEARN, JUDGE, SHARE = "#dbe9f6", "#d8f0e3", "#fdf1d3", "#f3dce6"

JOURNEY = (
    ("DICOM, NIfTI,\npictures", "a PACS export\nas it comes", DATA),
    ("slice store", "ingest: Hounsfield\nunits, pseudonyms,\nevery file accounted for", DATA),
    ("encoder", "SparK, BYOL, MoCo,\nSwAV, SimSiam:\nno labels", LEARN),
    ("classifier", "fine-tuned on\nfew labels, split\nby patient", LEARN),
    ("evaluation", "intervals over\npatients, beside\ntrivial predictors", JUDGE),
    ("signed bundle", "audited, weights\nthat hold no code,\na card", SHARE),
    ("answer", "in the clinic:\nstock MONAI, or\nDICOM to the PACS", SHARE),
)

STUDY = (
    ("plan", "methods x tasks x\nlabels x folds x seeds,\na JSON file", DATA),
    ("pre-training", "one budget of images\nfor every method", LEARN),
    ("cells", "each a bundle run on\nless labels, a process,\na record", LEARN),
    ("records", "inputs, metrics,\nevery prediction;\nnamed by content", JUDGE),
    ("statistics", "paired, corrected,\nover patients", JUDGE),
    ("report", "curves, differences,\nlabels needed, forecast;\none file, offline", SHARE),
)


def main() -> None:
    """Write both drawings."""
    matplotlib.rcParams.update({"svg.hashsalt": "journey", "svg.fonttype": "none", "font.family": "sans-serif"})
    draw(JOURNEY, HERE / "journey.svg", note="every run is tracked in MLflow")
    draw(STUDY, HERE / "study.svg", note="run again, only what is missing is done")


def draw(steps: tuple[tuple[str, str, str], ...], path: Path, *, note: str) -> None:
    """Boxes from left to right with arrows between them and a line of text below each."""
    figure, axes = plt.subplots(figsize=(1.8 * len(steps), 2.3))
    for number, (name, text, color) in enumerate(steps):
        x = 2.0 * number
        axes.add_patch(FancyBboxPatch((x, 0), 1.45, 0.8, boxstyle="round,pad=0.06", fc=color, ec="#555", lw=0.9))
        axes.text(x + 0.725, 0.4, name, ha="center", va="center", fontsize=9, weight="bold")
        axes.text(x + 0.725, -0.2, text, ha="center", va="top", fontsize=8.2, color="#333")
        if number:
            axes.add_patch(
                FancyArrowPatch((x - 0.5, 0.4), (x - 0.05, 0.4), arrowstyle="-|>", mutation_scale=12, color="#555")
            )
    axes.text(2.0 * len(steps) / 2 - 0.28, 1.12, note, ha="center", fontsize=8.5, style="italic", color="#555")
    axes.set_xlim(-0.2, 2.0 * len(steps) - 0.3)
    axes.set_ylim(-1.15, 1.35)
    axes.axis("off")
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    main()
