"""The map of features."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_ext.embedding import draw_map_page, draw_map_picture, map_points


def _clusters() -> torch.Tensor:
    """Two groups of ten directions."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[5.0, 0.0, 0.0, 0.0], [0.0, 5.0, 0.0, 0.0]]).repeat_interleave(10, dim=0)
    return centres + 0.1 * torch.randn(20, 4, generator=generator)


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_similar_features_lie_together_and_the_map_is_the_same_again(method: str) -> None:
    points, how = map_points(_clusters(), method=method)
    first, second = points[:10], points[10:]
    within = np.linalg.norm(first - first.mean(0), axis=1).max()
    assert np.linalg.norm(first.mean(0) - second.mean(0)) > 2 * within
    assert points.shape == (20, 2)
    assert points.mean(axis=0) == pytest.approx([0, 0], abs=1e-3)
    assert {"tsne": "t-SNE, perplexity 6", "pca": "of the variance"}[method] in how
    assert np.array_equal(points, map_points(_clusters(), method=method)[0])


def test_pca_has_the_variances_of_the_two_largest_components() -> None:
    points, _ = map_points(_clusters(), method="pca")
    unit = torch.nn.functional.normalize(_clusters().double(), dim=1)
    values = torch.linalg.svdvals(unit - unit.mean(0))
    assert np.linalg.norm(points, axis=0) == pytest.approx(values[:2].numpy())


def test_equal_features_are_one_point() -> None:
    assert np.abs(map_points(torch.ones(6, 3), method="pca")[0]).max() < 1e-6


def test_the_picture_has_a_colour_for_each_class(tmp_path: Path) -> None:
    points, how = map_points(_clusters(), method="pca")
    draw_map_picture(tmp_path / "map.png", points, ["a"] * 10 + ["b"] * 10, title="twenty slices", caption=how)
    colours = Image.open(tmp_path / "map.png").convert("RGB").getcolors(1 << 24)
    assert (
        len(
            [
                1
                for count, (red, green, blue) in colours
                if count > 50 and max(red, green, blue) - min(red, green, blue) > 80
            ]
        )
        >= 2
    )


def test_the_page_opens_offline_and_tells_of_each_point_safely(tmp_path: Path) -> None:
    points, how = map_points(_clusters(), method="pca")
    rows = [{"index": number, "group": f"g{number}", "label": f"<b>{number // 2}</b>"} for number in range(20)]
    draw_map_page(tmp_path / "map.html", points, rows, title="t & s", caption=how)
    page = (tmp_path / "map.html").read_text()
    assert page.count("<circle") == 20
    assert "<b>" not in page
    assert "index 3, group g3, label &lt;b&gt;1&lt;/b&gt;" in page
    assert "t &amp; s" in page
    assert not re.search(r"https?://|src=", page)
    assert page.count("&#9679;") == 10  # nine classes, and one other
    places = [float(value) for value in re.findall(r'c[xy]="([\d.]+)"', page)]
    assert min(places) >= 0
    assert max(places) <= 720


@pytest.mark.parametrize(
    ("features", "method"),
    [(torch.rand(3, 2), "pca"), (torch.rand(8, 2), "umap"), (torch.full((8, 2), float("inf")), "pca")],
)
def test_what_cannot_be_drawn_is_refused(features: torch.Tensor, method: str) -> None:
    with pytest.raises(ValueError, match="drawn by tsne or pca of finite features of at least 4 slices"):
        map_points(features, method=method)
