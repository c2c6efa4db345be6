"""Writes the explanation: a page, its numbers as CSV and JSON, its pictures as PNG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monai_ext.files import write_atomically
from monai_ext.foreign_text import listed
from monai_ext.networks.stage_maps import STAGES
from monai_ext.study.layers.measuring import Budget
from monai_ext.study.layers.pictures import pictures
from monai_ext.study.layers.results import LayerResults
from monai_ext.study.layers.sentences import limits, summary_sentences
from monai_ext.study.layers.tables import (
    TITLES,
    all_numbers,
    difference_table,
    encoder_table,
    layer_table,
    number_files,
    similarity_table,
)
from monai_ext.study.report.drawing import Picture
from monai_ext.study.report.rendering import render_page

__all__ = ["PAGE", "write_explanation"]

PAGE = "explanation.html"
_SECTIONS = (
    ("summary", "Summary"),
    ("probe", "Linear probe"),
    ("rank", "Rank"),
    ("similarity", "Similarity"),
    ("field", "Receptive field"),
    ("frequencies", "Frequencies"),
    ("differences", "Differences"),
    ("limits", "Limits"),
)


def write_explanation(
    results: LayerResults, output: str | Path, *, budget: Budget | None = None, seed: int = 0
) -> list[Path]:
    """Write the page and its numbers; gives the files, the page first.

    Args:
        results: what is written.
        output: folder; made when missing.
        budget, seed: with which it was measured.

    Raises:
        OSError: the disk refuses.
    """
    budget = budget or Budget()
    folder = Path(output).expanduser()
    drawn = pictures(results)
    settings = {"seed": seed, "noise_strength": budget.strength, "similarity_batch": budget.similarity_batch}
    settings |= {"frequency_images": budget.frequency_images, "field_images": budget.field_images}
    contents = {PAGE: _page(results, drawn, budget).encode()}
    contents |= {name: text.encode() for name, text in number_files(results).items()}
    contents["explanation.json"] = (json.dumps(all_numbers(results, settings), indent=1) + "\n").encode()
    contents |= {f"{picture.name}.png": picture.png for picture in drawn.values()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
    return [folder / name for name in contents]


def _page(results: LayerResults, drawn: dict[str, Picture], budget: Budget) -> str:
    return render_page(
        "layers/page.html",
        sections=_SECTIONS,
        compared=_what_was_compared(results),
        summary=summary_sentences(results),
        encoders=encoder_table(results),
        pictures=drawn,
        tables={measure: layer_table(results, measure) for measure in TITLES},
        alike=similarity_table(results),
        differences=difference_table(results),
        limits=limits(results),
        folds=len(results.judged.folds),
        theory=_theory(results),
        sizes=listed(sorted({f"{encoder.image_size} pixels a side" for encoder in results.encoders})),
        strength=f"{100 * budget.strength:g} %",
        cut=f"{results.cut:g}",
    )


def _what_was_compared(results: LayerResults) -> str:
    """What was compared on what, in a sentence."""
    about: dict[str, Any] = results.judged.describe()
    classes = ", ".join(f"{count} {name}" for name, count in about["classes"].items())
    return (
        f"{', '.join(encoder.name for encoder in results.encoders)}: on {about['images']} labelled images ({classes})"
        f" of {about['patients']} patients (by {about['grouped_by']})."
    )


def _theory(results: LayerResults) -> str:
    """Sides of the theoretical fields, once for each architecture."""
    found: dict[str, Any] = {}
    for encoder in results.encoders:
        sides = ", ".join(f"{results.fields[encoder.name, stage].side}" for stage in STAGES)
        found.setdefault(encoder.architecture, sides)
    return "; ".join(f"{sides} pixels from {STAGES[0]} to {STAGES[-1]} ({name})" for name, sides in found.items())
