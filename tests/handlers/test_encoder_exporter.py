"""The exported encoder."""

from __future__ import annotations

import os

import pytest
import torch
from monai.networks.nets import resnet18

from helpers.small_training import (
    SmallPainter,
    same_weights,
    small_evaluator,
    small_length,
    small_trainer,
    small_training,
)
from monai_ext.engines import PretrainingEvents, TrainingLength
from monai_ext.errors import TrainingStoppedError
from monai_ext.handlers import EncoderExporter, TrainingCheckpoint, ValidationRunner
from monai_ext.networks import SparK, SparKDecoder, build_encoder


def test_the_file_holds_the_plain_encoder_and_where_it_comes_from(tmp_path):
    trainer = small_training([EncoderExporter(tmp_path / "models", metadata={"backbone": "small"})])
    content = torch.load(tmp_path / "models" / "encoder.pt", weights_only=True)
    assert content.keys() == {"state_dict", "metadata"}
    assert same_weights(content["state_dict"], trainer.network.encoder.state_dict())
    assert content["metadata"].pop("monai_ext_version")
    assert content["metadata"].pop("adaptation_plan")["network"] is None
    assert content["metadata"] == {"method": "SmallPainter", "iteration": 14, "images_seen": 56, "backbone": "small"}


def test_it_is_written_every_few_epochs_and_after_the_last(tmp_path):
    seen = []
    trainer = small_trainer([EncoderExporter(tmp_path, every_epochs=2)])
    trainer.add_event_handler(
        PretrainingEvents.ENCODER_EXPORTED, lambda engine: seen.append((engine.state.epoch, engine.state.encoder_path))
    )
    trainer.run()
    assert seen == [(epoch, str(tmp_path / "encoder.pt")) for epoch in (2, 4, 5)]
    assert os.listdir(tmp_path) == ["encoder.pt"]


def test_encoders_of_smaller_budgets_are_kept_when_training_reaches_them(tmp_path):
    length = TrainingLength(12, batch_size=4, images_seen=56, keep_at_images=[10, 12, 56, 1000])
    small_training([EncoderExporter(tmp_path, metadata={"images_seen": 56})], length=length)
    kept = {f"encoder_{budget}_images.pt": seen for budget, seen in ((10, 12), (12, 12), (56, 56))}
    assert set(os.listdir(tmp_path)) == {"encoder.pt", *kept}
    for name, seen in kept.items():
        metadata = torch.load(tmp_path / name, weights_only=True)["metadata"]
        assert (metadata["images_seen"], metadata["images_of_schedule"]) == (seen, 56)


def test_an_export_that_was_missed_is_made_up_for_when_a_complete_training_is_resumed(tmp_path):
    small_training([TrainingCheckpoint(tmp_path)])
    small_training([TrainingCheckpoint(tmp_path, resume=tmp_path), EncoderExporter(tmp_path)])
    assert torch.load(tmp_path / "encoder.pt", weights_only=True)["metadata"]["iteration"] == 14


def test_the_encoder_of_spark_loads_into_the_stock_network(tmp_path):
    network = SparK(build_encoder("resnet18"), SparKDecoder(32))
    images = list(torch.rand(12, 1, 64, 64))
    exporter = EncoderExporter(tmp_path)
    small_training([exporter], network=network, images=images, patch_size=32, length=small_length(4))
    stock = resnet18(
        spatial_dims=2,
        n_input_channels=1,
        conv1_t_stride=2,
        shortcut_type="B",
        bias_downsample=False,
        feed_forward=False,
    )
    stock.load_state_dict(torch.load(tmp_path / "encoder.pt", weights_only=True)["state_dict"])
    assert same_weights(stock.state_dict(), network.encoder.state_dict())


def test_a_path_that_cannot_be_written_stops_training_with_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TrainingStoppedError, match=r"the encoder was not written to .*checkpoint is none"):
        small_training([EncoderExporter(tmp_path / "file")])


def test_every_zero_epochs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not every 0 epochs"):
        EncoderExporter(tmp_path, every_epochs=0)


def test_the_network_is_not_changed_by_an_export(tmp_path):
    torch.manual_seed(1)
    network = SmallPainter()
    small_training([EncoderExporter(tmp_path, every_epochs=1)], network=network)
    content = torch.load(tmp_path / "encoder.pt", weights_only=True)
    content["state_dict"]["0.weight"].zero_()
    assert network.encoder[0].weight.abs().sum() > 0


def test_the_tracked_run_is_told_for_the_lineage_of_fine_tuned_networks(tmp_path):
    class Tracker:
        def attach(self, engine):
            engine.state.mlflow_run_id = "abc"

    small_training([Tracker(), EncoderExporter(tmp_path)])
    assert torch.load(tmp_path / "encoder.pt", weights_only=True)["metadata"]["mlflow_run_id"] == "abc"


def test_without_a_number_of_epochs_it_follows_the_validations(tmp_path):
    network = SmallPainter()
    runner = ValidationRunner(small_evaluator(network), every_epochs=2)
    trainer = small_trainer([runner, EncoderExporter(tmp_path)], network=network)
    exported = []
    trainer.add_event_handler(PretrainingEvents.ENCODER_EXPORTED, lambda engine: exported.append(engine.state.epoch))
    trainer.run()
    assert exported == [2, 4, 5]  # not with the validation before the training
