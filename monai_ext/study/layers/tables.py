"""The page's tables, and the files with all numbers beside it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from monai_ext.data.sources.source import GRAY_LEVELS
from monai_ext.foreign_text import csv_text
from monai_ext.metrics.classification import Estimate, json_estimate
from monai_ext.networks.stage_maps import STAGES
from monai_ext.study.layers.results import MEASURES, LayerResults
from monai_ext.study.layers.sentences import MEASURE_NAMES, shown, shown_difference
from monai_ext.study.report.numbers import probability
from monai_ext.study.report.tables import Table

__all__ = [
    "TITLES",
    "all_numbers",
    "difference_table",
    "encoder_table",
    "layer_table",
    "number_files",
    "similarity_table",
]

TITLES = {
    "auc": "Linear probe: AUC",
    "accuracy": "Linear probe: accuracy",
    "rank": "Effective rank of features averaged over the image",
    "map_rank": "Effective rank of features at single positions",
    "field_half": "Side of the square with half of the effective receptive field, in pixels",
    "field_most": "Side of the square with 95.45 % of it, in pixels",
    "high_share": "Share of the reaction to noise of equal energy in every band that is to high frequencies",
    "high_share_seen": "The same, each band counting as much as it has energy in the images",
}


def encoder_table(results: LayerResults) -> Table:
    """What is compared."""
    rows = tuple(
        (
            encoder.name,
            encoder.architecture,
            f"{encoder.image_size} px, {encoder.channels} channel{'s' * (encoder.channels > 1)}",
            "as pictures are" if results.judged.data.source.values == GRAY_LEVELS else str(encoder.window),
            str(encoder.about.get("layout", "")),
            str(encoder.about.get("sha256", ""))[:12] or f"seed {encoder.about.get('seed', '-')}",
        )
        for encoder in results.encoders
    )
    return Table("Encoders", ("encoder", "architecture", "input", "window", "file", "SHA-256 or seed"), rows)


def layer_table(results: LayerResults, measure: str) -> Table:
    """One measure by encoder and layer."""
    rows = tuple(
        (encoder.name, *(shown(measure, results.estimate(measure, (encoder.name, stage))) for stage in STAGES))
        for encoder in results.encoders
    )
    return Table(TITLES[measure], ("encoder", *STAGES), rows)


def similarity_table(results: LayerResults) -> Table:
    """Similarity of all pairs of encoders at each layer."""
    rows = tuple(
        (
            f"{first.name} and {second.name}",
            *(
                shown("similarity", results.alike((first.name, stage), (second.name, stage)).estimate)
                for stage in STAGES
            ),
        )
        for first, second in combinations(results.encoders, 2)
    )
    return Table("Similarity of the same layer of two encoders (CKA)", ("encoders", *STAGES), rows)


def difference_table(results: LayerResults) -> Table:
    """Trained minus untrained, with what may be claimed."""
    rows = tuple(
        (
            MEASURE_NAMES[found.measure],
            found.of[0],
            found.of[1],
            found.less[0],
            shown_difference(found.measure, found.estimate),
            probability(found.p_holm),
            "yes" if found.may_be_claimed else "no",
        )
        for measure in MEASURES
        for found in results.differences[measure]
    )
    columns = ("measure", "encoder", "layer", "untrained", "difference", "p (Holm)", "claimed")
    return Table("Differences", columns, rows)


def all_numbers(results: LayerResults, settings: dict[str, Any]) -> dict[str, Any]:
    """Everything on the page as JSON values."""
    return {
        "settings": settings | {"high_from_cycles_per_image": results.cut},
        "images": results.judged.describe(),
        "encoders": [
            {
                "name": encoder.name,
                "architecture": encoder.architecture,
                "trained": encoder.trained,
                "image_size": encoder.image_size,
                "window": encoder.window,
                "channels": encoder.channels,
                "file": {
                    key: encoder.about[key] for key in ("method", "layout", "sha256", "seed") if key in encoder.about
                },
            }
            for encoder in results.encoders
        ],
        "layers": [_row(row) for row in _layer_rows(results)],
        "similarity": [_row(row) for row in _similarity_rows(results)],
        "frequencies": [_row(row) for row in _frequency_rows(results)],
        "differences": [
            {
                "measure": found.measure,
                "of": list(found.of),
                "less": list(found.less),
                **json_estimate(found.estimate),
                "p_holm": found.p_holm,
                "claimed": found.may_be_claimed,
            }
            for rows in results.differences.values()
            for found in rows
        ],
    }


def number_files(results: LayerResults) -> dict[str, str]:
    """CSV files by name."""
    parts = {"layers": _layer_rows, "similarity": _similarity_rows, "frequencies": _frequency_rows}
    files = {}
    for name, rows_of in parts.items():
        rows = [_row(row) for row in rows_of(results)]
        header = list(rows[0]) if rows else []
        files[f"{name}.csv"] = csv_text(
            header, [["" if cell is None else cell for cell in row.values()] for row in rows]
        )
    return files


def _row(row: tuple[dict[str, Any], Estimate]) -> dict[str, Any]:
    """A row of plain values, with its interval."""
    rounded = {name: None if part is None else float(f"{part:.6g}") for name, part in json_estimate(row[1]).items()}
    return row[0] | rounded


def _layer_rows(results: LayerResults) -> Iterator[tuple[dict[str, Any], Estimate]]:
    for name, stage in results.keys:
        for measure in TITLES:
            yield {"encoder": name, "layer": stage, "measure": measure}, results.estimate(measure, (name, stage))
        field = Estimate(float(results.fields[name, stage].side))
        yield {"encoder": name, "layer": stage, "measure": "field_theoretical"}, field


def _similarity_rows(results: LayerResults) -> Iterator[tuple[dict[str, Any], Estimate]]:
    for first, second in combinations(results.keys, 2):
        about = {"encoder": first[0], "layer": first[1], "other_encoder": second[0], "other_layer": second[1]}
        yield about, results.alike(first, second).estimate


def _frequency_rows(results: LayerResults) -> Iterator[tuple[dict[str, Any], Estimate]]:
    for (name, stage), reactions in results.reactions.items():
        for (low, high), reaction in zip(results.bands[name], reactions, strict=True):
            yield {"encoder": name, "layer": stage, "from_cycles": low, "to_cycles": high}, reaction.estimate
