"""The page of example views, drawn and written at the start of a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from PIL import Image

from helpers.small_training import random_shift, same_weights, small_images, small_trainer, weights
from monai_ext.engines import PretrainingEvents
from monai_ext.errors import TrainingStoppedError
from monai_ext.handlers import ViewImages
from monai_ext.handlers.view_images import draw_view_page
from monai_ext.transforms import MultiView, RandomView, RandResizedCropFlip


def _multi_view() -> MultiView:
    kinds = {"global": RandomView(16, scale=[0.9, 1.0]), "local": RandomView(8, scale=[0.1, 0.33])}
    return MultiView(kinds, counts={"global": 2, "local": 3})


def _gray(page: Image.Image) -> np.ndarray:
    return np.asarray(page.convert("L")) / 255


def test_a_row_begins_with_its_image_and_goes_on_with_the_views() -> None:
    images = [torch.full((1, 16, 16), value) for value in (0.2, 0.4, 0.6, 0.8)]
    page = _gray(draw_view_page(images, lambda batch: [batch, 1 - batch], images=2))
    # Two images at even distances, the first and the third; captions of 30 pixels, tiles of 176, gaps of 6.
    for row, value in enumerate((0.2, 0.6)):
        middle = 30 + row * 182 + 88
        seen = [page[middle, 6 + column * 182 + 88] for column in range(3)]
        assert seen == pytest.approx([value, value, 1 - value], abs=0.01)
    assert page.shape == (30 + 2 * 182 + 6, 3 * 182 + 6)


def test_smaller_views_are_drawn_smaller() -> None:
    whole = draw_view_page(small_images(), RandResizedCropFlip(16), images=2)
    several = draw_view_page(small_images(), _multi_view(), images=2)
    assert whole.size == (5 * 182 + 6, 30 + 2 * 182 + 6)  # one view a sample is drawn four times
    assert several.size == (3 * 182 + 3 * (88 + 6) + 6, 30 + 2 * 182 + 6)


def test_the_seed_decides_on_the_page_and_random_streams_go_on_as_before() -> None:
    state = torch.get_rng_state()
    first, same, other = (_gray(draw_view_page(small_images(), _multi_view(), seed=seed)) for seed in (1, 1, 2))
    assert (first == same).all()
    assert (first != other).any()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("dataset", "images"), [([], 3), (small_images(), 0)])
def test_a_page_without_images_is_refused(dataset: list[torch.Tensor], images: int) -> None:
    with pytest.raises(ValueError, match="at least 1 image"):
        draw_view_page(dataset, random_shift, images=images)


def test_of_volumes_the_middle_slices_are_drawn() -> None:
    volumes = [torch.zeros(1, 4, 16, 16) for _ in range(2)]
    for value, volume in zip((0.2, 0.6), volumes, strict=True):
        volume[:, 2] = value
    page = _gray(draw_view_page(volumes, lambda batch: [1 - batch], images=2))
    assert page.shape == (30 + 2 * 182 + 6, 2 * 182 + 6)
    assert page[30 + 88, [6 + 88, 6 + 182 + 88]] == pytest.approx([0.2, 0.8], abs=0.01)
    assert page[30 + 182 + 88, 6 + 88] == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("shape", [(2, 8, 8), (4, 4, 8, 8), (1, 8)])
def test_images_that_cannot_be_shown_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="images or volumes with one or three channels"):
        draw_view_page([torch.zeros(shape)], random_shift)


def test_the_page_is_written_once_when_training_starts(tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []
    handler = ViewImages(tmp_path / "run", dataset=small_images(), views=random_shift, images=3)
    trainer = small_trainer([handler])
    trainer.add_event_handler(
        PretrainingEvents.PICTURES_WRITTEN,
        lambda engine: seen.append((engine.state.iteration, engine.state.pictures)),
    )
    trainer.run()
    assert seen == [(0, str(tmp_path / "run" / "views.png"))]
    with Image.open(seen[0][1]) as page:
        assert page.format == "PNG"
        assert page.height == 30 + 3 * 182 + 6


def test_a_training_that_is_continued_writes_no_second_page(tmp_path: Path) -> None:
    trainer = small_trainer([ViewImages(tmp_path, dataset=small_images(), views=random_shift)])
    trainer.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "epoch", 2))
    trainer.run()
    assert not (tmp_path / "views.png").exists()


def test_drawing_does_not_change_the_training(tmp_path: Path) -> None:
    with_page, without = small_trainer([ViewImages(tmp_path, dataset=small_images(), views=random_shift)]), None
    with_page.run()
    without = small_trainer([])
    without.run()
    assert same_weights(weights(with_page), weights(without))


def test_a_folder_that_cannot_be_made_stops_training_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    handler = ViewImages(tmp_path / "file" / "run", dataset=small_images(), views=random_shift)
    with pytest.raises(TrainingStoppedError, match=r"the picture of the views was not written to .*views\.png"):
        small_trainer([handler]).run()


def test_no_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images=0"):
        ViewImages(tmp_path, dataset=[], views=random_shift, images=0)
