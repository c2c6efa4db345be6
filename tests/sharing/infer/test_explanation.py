"""Grad-CAM pictures: the image as it is, what spoke for a class over it, a scale, the class and its probability."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.dicom_files import ct_slice, write
from helpers.trained_bundle import write_trained_bundle
from monai_ext.cli import main
from monai_ext.sharing.bundle_files import open_bundle_files
from monai_ext.sharing.infer.answering import Network
from monai_ext.sharing.infer.explained_images import TABLE, evenly_spaced, explain_images, open_images
from monai_ext.sharing.infer.explanation import SCALE_WIDTH, draw_explanation, draw_scale, explain, overlay
from monai_ext.sharing.trained_classifier import read_trained_classifier

SHAPE = (72, 200)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trained_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def network(bundle: Path) -> Network:
    return Network(read_trained_classifier(open_bundle_files(bundle)))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "ward").mkdir(parents=True)
    for number in range(3):
        levels = np.random.default_rng(number).integers(0, 256, SHAPE, dtype=np.uint8)
        Image.fromarray(levels).save(folder / "ward" / f"{number}.png")
    return folder


def rows_of(output: Path) -> list[dict[str, str]]:
    with open(output / TABLE, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_heat_has_the_size_of_the_image_and_its_strongest_place_is_1(network: Network) -> None:
    heat = explain(network, torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0)), 1)
    assert heat.shape == SHAPE
    assert heat.min() >= 0
    assert heat.max() in (0, 1)


def test_a_network_that_looks_everywhere_alike_has_no_pattern(network: Network) -> None:
    """At 32 px the last stage has one pixel: stretching its map to 0 .. 1 would draw rounding errors."""
    maps = [
        explain(network, torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0)), name) for name in (0, 1)
    ]
    assert sorted(heat.max() for heat in maps) == [0, 1]  # what speaks for one of two classes speaks against the other
    assert all(np.ptp(heat) < 1e-5 for heat in maps)


def test_explaining_again_and_again_leaves_one_set_of_hooks(network: Network) -> None:
    image = torch.rand(1, *SHAPE)
    for _ in range(3):
        explain(network, image, 0)
    hooks = [module._forward_hooks for module in network.network.modules()]  # no public way to count them
    assert max(map(len, hooks)) == 1


def test_the_image_lies_in_the_picture_pixel_by_pixel() -> None:
    image, heat = np.random.default_rng(0).random(SHAPE), np.zeros(SHAPE)
    picture = draw_explanation(image, heat, ["COVID: probability 0.900"])
    height, width = SHAPE
    assert picture.shape[1] == 2 * width + 24 + SCALE_WIDTH
    assert np.array_equal(picture[8 : 8 + height, 8 : 8 + width, 0], (image * 255).round().astype(np.uint8))
    assert np.array_equal(picture[8 : 8 + height, 16 + width : 16 + 2 * width], overlay(picture[8:80, 8:208, 0], heat))
    below = draw_explanation(image, heat, [])
    assert picture[len(below) - 8 :].std() > below[-8:].std()  # words


def test_the_scale_goes_from_the_strongest_down_to_nothing() -> None:
    colours = np.asarray(draw_scale(100), dtype=int)[:, 2]
    middle_gray = np.full((1, 1), 128, np.uint8)
    assert np.array_equal(colours[0], overlay(middle_gray, np.ones((1, 1)))[0, 0])
    assert np.array_equal(colours[-1], overlay(middle_gray, np.zeros((1, 1)))[0, 0])


@pytest.mark.parametrize("kind", ["pictures", "DICOM"])
def test_each_image_of_a_folder_has_a_picture_and_a_row(kind, network, pictures, tmp_path) -> None:
    if kind == "DICOM":
        for file in (pictures / "ward").iterdir():
            file.unlink()
        for number in range(3):
            values = np.random.default_rng(number).integers(300, 1200, SHAPE).astype(np.uint16)
            write(ct_slice(2.5 * number, values=values), pictures / "ward" / f"{number}.dcm")
    images = open_images(pictures, network.model)
    done = list(explain_images(network, images, tmp_path / "out"))
    suffix = "png" if kind == "pictures" else "dcm"
    rows = rows_of(tmp_path / "out")
    assert [row["image"] for row in rows] == done == [f"ward/{number}.{suffix}" for number in range(3)]
    for row, image in zip(rows, images, strict=True):
        with torch.no_grad():
            expected = network.network(network.inputs([image])).softmax(dim=1)[0].tolist()
        assert [float(row[name]) for name in network.model.class_names] == pytest.approx(expected, abs=1e-6)
        assert row["class"] == ("COVID" if expected[1] >= 0.5 else "NonCOVID")
        assert Image.open(tmp_path / "out" / row["picture"]).width >= 2 * SHAPE[1]


def test_a_damaged_picture_is_a_row_with_its_reason(network: Network, pictures: Path, tmp_path: Path) -> None:
    images = open_images(pictures, network.model)
    (pictures / "ward" / "1.png").write_bytes((pictures / "ward" / "1.png").read_bytes()[:60])
    list(explain_images(network, images, tmp_path / "out"))
    rows = rows_of(tmp_path / "out")
    assert [bool(row["picture"]) for row in rows] == [True, False, True]
    assert "ward/1.png" in rows[1]["reason"]


def test_without_file_names_images_are_numbered_and_reasons_name_none(bundle, pictures, tmp_path) -> None:
    (pictures / "ward" / "1.png").write_bytes((pictures / "ward" / "1.png").read_bytes()[:60])
    assert main(["explain", str(bundle), str(pictures), str(tmp_path / "out"), "--no-file-names"]) == 0
    assert [row["image"] for row in rows_of(tmp_path / "out")] == ["1", "2", "3"]
    assert rows_of(tmp_path / "out")[1]["reason"]
    assert "ward" not in (tmp_path / "out" / "explanations.csv").read_text()


def test_the_command_draws_evenly_spaced_images_for_one_class(bundle, pictures, tmp_path, capsys) -> None:
    arguments = [str(bundle), str(pictures), str(tmp_path / "out"), "--limit", "2", "--class", "NonCOVID"]
    assert main(["explain", *arguments]) == 0
    assert "2 of 3 images. Research use only" in capsys.readouterr().out
    assert [(row["image"], row["class"]) for row in rows_of(tmp_path / "out")] == [
        ("ward/0.png", "NonCOVID"),
        ("ward/2.png", "NonCOVID"),
    ]


@pytest.mark.parametrize(
    ("option", "words"),
    [(["--class", "flu"], "no class 'flu'; its classes are NonCOVID, COVID"), (["--limit", "0"], "at least 1 image")],
)
def test_what_cannot_be_drawn_is_refused(option, words, bundle, pictures, tmp_path, capsys) -> None:
    assert main(["explain", str(bundle), str(pictures), str(tmp_path / "out"), *option]) == 2
    assert words in capsys.readouterr().err


def test_all_images_are_taken_where_there_are_few() -> None:
    assert evenly_spaced(3, 100) == [0, 1, 2]
    assert evenly_spaced(1000, 3) == [0, 500, 999]


def test_a_table_of_an_earlier_time_tells_nothing_of_newer_pictures(
    network: Network, pictures: Path, tmp_path: Path
) -> None:
    """Killed before its end, an explanation would leave pictures of one patient under the name of another."""
    output = tmp_path / "out"
    images = open_images(pictures, network.model)
    list(explain_images(network, images, output, limit=1))
    assert len(rows_of(output)) == 1
    begun = explain_images(network, images, output)
    next(begun)
    begun.close()
    assert not (output / TABLE).exists()
