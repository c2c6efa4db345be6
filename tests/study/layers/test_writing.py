"""The page needs nothing but itself, and the files beside it hold its numbers."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from helpers.opened_encoders import judged_pictures, tiny_encoder
from monai_ext.study.layers import Budget, LayerResults, compare_layers, measure_layers, write_explanation
from monai_ext.study.layers.writing import PAGE

SMALL = Budget(similarity_batch=24, frequency_images=8, field_images=8)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> LayerResults:
    judged = judged_pictures(tmp_path_factory.mktemp("pictures"))
    encoders = [
        tiny_encoder("SparK"),
        tiny_encoder("<b>other</b>", seed=3),
        tiny_encoder("scratch", trained=False),
    ]
    measured = [measure_layers(e, judged, device=torch.device("cpu"), budget=SMALL) for e in encoders]
    return compare_layers(encoders, judged, measured)


@pytest.fixture(scope="module")
def folder(results: LayerResults, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_explanation(results, tmp_path_factory.mktemp("out") / "made")[0].parent


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.ids += [str(value) for name, value in attributes if name == "id"]


def test_the_page_asks_for_nothing_and_names_bring_no_markup(folder: Path) -> None:
    page = Tags()
    page.feed((folder / PAGE).read_text())
    assert not {"script", "link", "b", "iframe"} & set(page.tags)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link[0] == "#"} <= set(page.ids)
    assert (folder / PAGE).stat().st_size < 1_000_000


def test_every_picture_is_on_the_page_and_a_file(folder: Path) -> None:
    page = (folder / PAGE).read_text()
    assert len(list(folder.glob("*.png"))) == page.count("<figure>") == 7


def test_files_hold_the_numbers(results: LayerResults, folder: Path) -> None:
    with (folder / "layers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    (row,) = [r for r in rows if (r["encoder"], r["layer"], r["measure"]) == ("SparK", "layer3", "rank")]
    estimate = results.values["rank"]["SparK", "layer3"].estimate
    expected = [estimate.value, estimate.low, estimate.high]
    assert [float(row[name]) for name in ("value", "low", "high")] == pytest.approx(expected, rel=1e-5)
    content = json.loads((folder / "explanation.json").read_text())
    assert len(content["layers"]) == len(rows) == 3 * 5 * 9
    assert len(content["similarity"]) == 15 * 14 / 2
    assert len(content["frequencies"]) == 3 * 5 * 5
    assert len(content["differences"]) == 4 * 2 * 5
    assert content["images"]["test_images_left_out"] == 24
    assert content["settings"]["high_from_cycles_per_image"] == 16
