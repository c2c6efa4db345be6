"""Pictures of reconstructions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.small_training import same_weights, small_length, small_trainer, weights
from monai_ext.engines import PretrainingEvents
from monai_ext.errors import TrainingStoppedError
from monai_ext.handlers import ReconstructionImages
from monai_ext.handlers.reconstruction_images import as_png, picture_grid
from monai_ext.networks import SparK, SparKDecoder, build_encoder


def spark_trainer(handlers, **options):
    torch.manual_seed(0)
    network = SparK(build_encoder("resnet18"), SparKDecoder(32))
    images = list(torch.rand(8, 1, 64, 64))
    return small_trainer(
        handlers, network=network, images=images, patch_size=32, length=small_length(8), lr=0.001, **options
    )


def test_columns_are_input_visible_patches_and_reconstruction():
    image = torch.arange(16.0).reshape(1, 1, 4, 4) / 20
    visible = torch.tensor([[[[True, False], [False, True]]]])
    picture = picture_grid(image, visible, torch.full((1, 1, 4, 4), 2.0))
    assert picture.shape == (1, 4, 12)
    assert torch.equal(picture[0, :, :4], image[0, 0])
    assert torch.equal(picture[0, :2, 4:6], image[0, 0, :2, :2])
    assert (picture[0, :2, 6:8] == 0.5).all()
    assert (picture[0, :, 8:] == 1.0).all()


def test_of_a_volume_the_middle_slice_is_shown():
    image = torch.arange(4.0).reshape(1, 1, 4, 1, 1).expand(1, 1, 4, 2, 2) / 10
    picture = picture_grid(image, torch.ones(1, 1, 2, 1, 1, dtype=torch.bool), image)
    assert picture.shape == (1, 2, 6)
    assert (picture == 0.2).all()


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_files_are_gray_or_colour_pngs_of_eight_bits(tmp_path, channels, mode):
    with open(tmp_path / "picture.png", "wb") as file:
        as_png(torch.linspace(0, 1, channels * 6).reshape(channels, 2, 3))(file)
    with Image.open(tmp_path / "picture.png") as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", mode, (3, 2))
        assert np.asarray(picture).min() == 0
        assert np.asarray(picture).max() == 255


def test_pictures_are_written_with_the_same_images_and_masks_each_time(tmp_path):
    seen = []
    held_out = list(torch.rand(5, 1, 64, 64, generator=torch.Generator().manual_seed(4)))
    trainer = spark_trainer([ReconstructionImages(tmp_path / "pictures", dataset=held_out, images=3, every_epochs=1)])
    trainer.add_event_handler(PretrainingEvents.PICTURES_WRITTEN, lambda engine: seen.append(engine.state.pictures))
    trainer.run()
    assert seen == [str(tmp_path / "pictures" / "reconstruction_00001.png")]
    picture = np.asarray(Image.open(seen[0])) / 255
    assert picture.shape == (3 * 64, 3 * 64)
    expected = torch.cat([held_out[index][0] for index in (0, 1, 3)])
    assert np.abs(picture[:, :64] - expected.numpy()).max() < 0.003
    masked = (picture[:, 64:128] == 128 / 255).mean()
    assert masked == pytest.approx(0.5, abs=0.02)  # of four patches round(4 * 0.4) = 2 are visible


def test_painting_does_not_change_the_training(tmp_path):
    with_pictures = spark_trainer(
        [ReconstructionImages(tmp_path, dataset=list(torch.rand(2, 1, 64, 64)), every_epochs=1)]
    )
    with_pictures.run()
    without = spark_trainer([])
    without.run()
    assert same_weights(weights(with_pictures), weights(without))


def test_a_folder_that_cannot_be_made_stops_training_with_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    images = list(torch.rand(2, 1, 64, 64))
    pictures = ReconstructionImages(tmp_path / "file" / "pictures", dataset=images, every_epochs=1)
    with pytest.raises(TrainingStoppedError, match=r"the picture was not written to .*reconstruction_00001\.png"):
        spark_trainer([pictures]).run()


def test_no_images_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="images=0"):
        ReconstructionImages(tmp_path, dataset=[], images=0)
