"""A plane in which slices with similar features lie together, as a picture and as a page."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from monai_ext.files import write_atomically

__all__ = ["draw_map_page", "draw_map_picture", "map_points"]

MAPS = ("tsne", "pca")
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8B6914",
    "#5B3A8E",
    "#000000",
    "#999999",
)
"""The palette of Okabe & Ito, which people with colour vision deficiency tell apart, and three more."""
_PRINCIPAL = 50
_SIDE, _MARGIN = 720, 20


def map_points(features: Tensor, *, method: str = "tsne", seed: int = 0) -> tuple[np.ndarray, str]:
    """Positions of slices in the plane by their L2-normalised features, and in words how they were found.

    t-SNE (van der Maaten & Hinton 2008) keeps neighbours together; distances between clusters and their sizes mean
    nothing. PCA keeps what varies most, and distances. Before t-SNE, features are reduced to 50 principal components.

    Args:
        features: (N, D), N at least 4.
        method: ``"tsne"`` or ``"pca"``.
        seed: of t-SNE.

    Returns:
        (N, 2) positions, each axis centred, and a description for a caption.

    Raises:
        ValueError: another method, fewer than four slices, or features that are not finite.
    """
    if method not in MAPS or len(features) < 4 or not bool(features.isfinite().all()):
        raise ValueError(
            f"A map is drawn by {' or '.join(MAPS)} of finite features of at least 4 slices; received {method!r} and"
            f" {len(features)} slices, {'all' if bool(features.isfinite().all()) else 'not all'} of them finite."
        )
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    directions = normalize(features.to(torch.float64), dim=1).numpy()
    count = min(len(features), features.shape[1], _PRINCIPAL if method == "tsne" else 2)
    analysis = PCA(max(1, count), random_state=seed)
    with np.errstate(invalid="ignore"):  # shares of a variance of zero
        principal = analysis.fit_transform(directions)
    if method == "pca" or principal.shape[1] < 2:
        points = np.zeros((len(features), 2))
        points[:, : principal.shape[1]] = principal[:, :2]
        share = 100 * float(np.nan_to_num(analysis.explained_variance_ratio_[:2]).sum())
        return points, f"PCA, {share:.0f} % of the variance"
    perplexity = min(30.0, (len(features) - 1) / 3)
    points = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(principal)
    return points - points.mean(axis=0), f"t-SNE, perplexity {perplexity:.0f}"


def draw_map_picture(
    path: str | Path, points: np.ndarray, labels: Sequence[str] = (), *, title: str, caption: str
) -> None:
    """Write the map as a PNG, a colour for each class; the ten most frequent have one of their own.

    Args:
        path: of the file, in an existing folder.
        points: (N, 2).
        labels: class of every point; empty for none.
        title: above the map.
        caption: below it.

    Raises:
        OSError: the disk refuses the file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8.4), dpi=140, layout="constrained")
    axes = figure.add_subplot()
    order = np.random.default_rng(0).permutation(len(points))  # no class lies on top of the others
    colours = np.array(_colours_of(labels, len(points)))
    size = float(np.clip(9000 / len(points), 4, 36))
    axes.scatter(points[order, 0], points[order, 1], c=colours[order], s=size, alpha=0.75, linewidths=0)
    for label, colour, count in _legend(labels):
        axes.scatter([], [], c=colour, s=40, label=f"{label} ({count})")
    if labels:
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.02), ncols=4, frameon=False, fontsize=9)
    axes.set_title(title, fontsize=11)
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="box")
    figure.supxlabel(caption, fontsize=8, color="#555555")
    write_atomically(Path(path), lambda file: figure.savefig(file, format="png", bbox_inches="tight"))


def draw_map_page(
    path: str | Path, points: np.ndarray, rows: Sequence[Mapping[str, Any]], *, title: str, caption: str
) -> None:
    """Write the map as one HTML file that opens offline and tells of each point, when it is pointed at, its row.

    Args:
        path: of the file, in an existing folder.
        points: (N, 2).
        rows: what to tell of each point; the entry ``label``, where there is one, gives the colour.
        title: above the map.
        caption: below it.

    Raises:
        OSError: the disk refuses the file.
    """
    labels = [str(row["label"]) for row in rows] if rows and rows[0].get("label") is not None else []
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (_SIDE - 2 * _MARGIN) / max(float((high - low).max()), 1e-12)
    places = _MARGIN + (points - low) * scale
    places[:, 1] = _SIDE - places[:, 1]
    circles = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{html.escape(_title(row))}</title></circle>'
        for (x, y), colour, row in zip(places, _colours_of(labels, len(rows)), rows, strict=True)
    ]
    legend = [
        f'<span style="color:{colour}">&#9679;</span> {html.escape(label)} ({count})'
        for label, colour, count in _legend(labels)
    ]
    page = f"""<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>body {{font-family: sans-serif; margin: 2em}} circle {{opacity: 0.75}} circle:hover {{opacity: 1; r: 8}}</style>
<h1 style="font-size: 1.1em">{html.escape(title)}</h1>
<p>{" &nbsp; ".join(legend)}</p>
<svg width="{_SIDE}" height="{_SIDE}" style="border: 1px solid #ccc">
{chr(10).join(circles)}
</svg>
<p style="color: #555">{html.escape(caption)}</p>
</html>
"""
    write_atomically(Path(path), lambda file: file.write(page.encode()))


def _title(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)


def _legend(labels: Sequence[str]) -> list[tuple[str, str, int]]:
    """Label, colour and count of each class; the least frequent beyond the palette are put together."""
    counts = Counter(labels)
    named = sorted(label for label, _ in counts.most_common(len(_COLOURS) - (len(counts) > len(_COLOURS))))
    legend = [(label, _COLOURS[number], counts[label]) for number, label in enumerate(named)]
    rest = [label for label in counts if label not in named]
    return [*legend, (f"{len(rest)} others", _COLOURS[-1], sum(counts[label] for label in rest))] if rest else legend


def _colours_of(labels: Sequence[str], count: int) -> list[str]:
    if not labels:
        return [_COLOURS[0]] * count
    colours = {label: colour for label, colour, _ in _legend(labels)}
    return [colours.get(label, _COLOURS[-1]) for label in labels]
