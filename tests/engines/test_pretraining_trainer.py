"""The training loop, with a network small enough to know what must come out."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents
from monai.inferers import Inferer
from torch import nn

from helpers.small_training import (
    SmallPainter,
    same_weights,
    small_images,
    small_length,
    small_trainer,
    small_training,
    weights,
)
from monai_ext.engines import PretrainingTrainer, TrainingLength
from monai_ext.errors import TrainingStoppedError
from monai_ext.handlers import MomentumUpdater
from monai_ext.inferers import MaskedImageInferer, MultiViewInferer
from monai_ext.losses import NegativeCosineSimilarity
from monai_ext.networks import BYOL, PredictionHead, ProjectionHead, SparK, SparKDecoder, build_encoder
from monai_ext.parallel import memory_format
from monai_ext.parallel.processor import Processor, processor


class OneWeight(nn.Module):
    """Adds its weight to every image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + self.weight


class Whole(Inferer):
    def __call__(self, inputs, network, *args, **kwargs):
        return (network(inputs),)


def one_weight_trainer(values: list[float], **options) -> PretrainingTrainer:
    """Images of one pixel, in batches of four; the loss is the mean of image + weight, whose gradient is 1."""
    network = OneWeight()
    batches = torch.tensor(values).reshape(-1, 4, 1, 1, 1)
    return PretrainingTrainer(
        "cpu",
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.5),
        loss_function=lambda prediction: prediction.mean(),
        train_data_loader=list(batches),
        length=TrainingLength(len(values), batch_size=4, epochs=1),
        inferer=Whole(),
        channels_last=False,
        **options,
    )


@pytest.mark.parametrize("accumulation_steps", [1, 2, 3, 4])
def test_each_iteration_is_one_step_however_the_batch_is_cut(accumulation_steps):
    trainer = one_weight_trainer([1.0, 2, 3, 4, 5, 6, 7, 8], accumulation_steps=accumulation_steps)
    losses = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output["loss"].item())
    )
    trainer.run()
    assert losses == pytest.approx([2.5, 6.0])  # the second batch, of mean 6.5, meets the weight after one step of 0.5
    assert trainer.network.weight.item() == pytest.approx(-1.0)


def test_gradients_are_clipped_before_the_step():
    trainer = one_weight_trainer([1.0, 2, 3, 4], gradient_clip_norm=0.1)
    trainer.run()
    assert trainer.network.weight.item() == pytest.approx(-0.05)


def test_a_batch_may_be_a_dictionary_with_an_image():
    trainer = one_weight_trainer([1.0, 2, 3, 4])
    trainer.data_loader = [{"image": batch} for batch in trainer.data_loader]
    trainer.run()
    assert trainer.network.weight.item() == pytest.approx(-0.5)


def test_training_ends_at_its_length_in_the_middle_of_an_epoch():
    ends = []
    trainer = small_trainer()
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: ends.append(engine.state.iteration))
    trainer.run()
    assert ends == [3, 6, 9, 12, 14]
    assert trainer.state.images_seen == 56


def test_max_epochs_stops_earlier_with_the_schedule_of_the_whole_length():
    trainer = small_training(max_epochs=2)
    whole = small_trainer()
    whole.add_event_handler(Events.ITERATION_COMPLETED(once=6), lambda engine: engine.terminate())
    whole.run()
    assert (trainer.state.iteration, trainer.total_iterations) == (6, 6)
    assert same_weights(weights(trainer), weights(whole))


def test_schedules_hold_in_the_iteration_that_they_name():
    trainer = small_trainer()
    seen = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: seen.append([group["lr"] for group in engine.optimizer.param_groups])
    )
    trainer.run()
    schedule = trainer.schedules[0][0]
    assert seen == [[schedule.value(iteration, 0.01)] * 2 for iteration in range(14)]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_network_learns_in_every_precision(precision):
    images = [torch.linspace(0, 1, 16).expand(1, 16, 16).contiguous()] * 12
    losses = []
    trainer = small_trainer(
        precision=precision, images=images, network=SmallPainter(dropout=0.0), length=small_length(320), lr=0.05
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output["loss"]))
    trainer.run()
    assert losses[0].dtype == torch.float32
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert all(param.dtype == torch.float32 for param in trainer.network.parameters())


def test_channels_last_changes_the_layout_and_not_the_loss():
    losses = {}
    for channels_last in (False, True):
        torch.manual_seed(3)
        network = SmallPainter(width=8, dropout=0.0)  # dropout draws in the order of the memory
        trainer = small_training(network=network, channels_last=channels_last, length=small_length(4))
        losses[channels_last] = trainer.state.output["loss"].item()
        assert network.decoder.weight.is_contiguous(memory_format=trainer.memory_format)
    assert trainer.memory_format == torch.channels_last
    assert losses[True] == pytest.approx(losses[False], rel=1e-5)


@pytest.mark.parametrize("channels_last", [True, "auto"])
def test_a_network_of_few_channels_is_trained_in_the_default_format(channels_last):
    network = SmallPainter(width=7)
    views = []
    trainer = small_trainer(network=network, channels_last=channels_last, length=small_length(4))
    trainer.inferer = lambda inputs, network: views.append(inputs) or MaskedImageInferer()(inputs, network)
    trainer.run()
    assert trainer.memory_formats == {"": torch.contiguous_format}
    assert all(tensor.is_contiguous() for tensor in [*views, *network.parameters()])


def test_the_least_network_that_corrupted_memory_without_avx512_is_trained():
    """A residual network of 4 channels, whose 1 x 1 convolution has a stride: see ``arrange_memory``."""
    code = """if True:
        import torch
        from helpers.tiny_resnet import TINY_RESNET
        TINY_RESNET["block_inplanes"] = [4, 4, 4, 32]
        from helpers.methods import trainer_for
        torch.set_num_threads(1)
        trainer_for("byol", images_seen=320, channels_last=True).run()
    """
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_dense_part_of_spark_has_a_format_of_its_own(monkeypatch):
    without_avx512 = Processor("AVX2", has_avx512=False, has_bf16=False)
    losses = []
    for here in (without_avx512, processor()):
        monkeypatch.setattr(memory_format, "processor", lambda here=here: here)
        torch.manual_seed(0)
        network = SparK(build_encoder("resnet18"), SparKDecoder(256))
        received = []
        network.decoder.levels[0].register_forward_pre_hook(
            lambda _, inputs, received=received: received.append(inputs[0])
        )
        trainer = small_training(
            network=network, images=small_images(4, side=64), views=None, patch_size=32, length=small_length(4)
        )
        losses.append(trainer.state.output["loss"].item())
        if not here.has_avx512:
            dense = dict.fromkeys(("densify_projections", "decoder"), torch.contiguous_format)
            assert trainer.memory_formats == {"": torch.channels_last, **dense}
            assert received[0].is_contiguous()
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_views_are_made_of_the_whole_batch_on_the_device():
    shapes = []
    trainer = one_weight_trainer(
        [1.0, 2, 3, 4], accumulation_steps=2, views=lambda images: shapes.append(images.shape) or images
    )
    trainer.run()
    assert shapes == [(4, 1, 1, 1)]


def test_events_of_an_iteration_come_in_order_and_with_the_state_that_they_promise():
    seen = []
    trainer = small_trainer(max_epochs=1)
    trainer.add_event_handler(
        IterationEvents.BACKWARD_COMPLETED,
        lambda engine: seen.append(("backward", engine.network.mask_token.grad is not None)),
    )
    trainer.add_event_handler(
        IterationEvents.MODEL_COMPLETED, lambda engine: seen.append(("model", engine.state.images_seen))
    )
    trainer.run()
    assert seen == [
        ("backward", True),
        ("model", 4),
        ("backward", True),
        ("model", 8),
        ("backward", True),
        ("model", 12),
    ]


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_an_exception_is_told_to_every_handler_once_and_leaves_run(error):
    reported = []
    trainer = small_trainer()
    for _ in range(2):
        trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, exception: reported.append(exception))

    def fail() -> None:
        raise error

    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), fail)
    with pytest.raises(type(error)):
        trainer.run()
    assert reported == [error, error]


def test_training_for_longer_than_the_length_is_refused():
    with pytest.raises(ValueError, match=r"length of 5 epochs; received 6\. To train for longer, change epochs"):
        small_trainer(max_epochs=6)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"accumulation_steps": 0}, "at least one image"),
        ({"accumulation_steps": 5}, "batch of 4 images"),
        ({"gradient_clip_norm": 0.0}, "None to never clip"),
        ({"precision": "half"}, "fp32, bf16, fp16, auto"),
        ({"channels_last": "first"}, 'True, False or "auto"'),
    ],
)
def test_options_out_of_range_are_refused(option, words):
    with pytest.raises(ValueError, match=words):
        small_trainer(**option)


def test_a_compiled_network_trains_to_the_same_weights(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # traces without a C++ compiler
    compiled, eager = small_training(compile=True, max_epochs=1), small_training(max_epochs=1)
    for (name, value), expected in zip(compiled.network.state_dict().items(), weights(eager).values(), strict=True):
        assert torch.allclose(value, expected, atol=1e-4), name


def test_a_volume_is_trained_in_the_channels_last_format_of_volumes():
    network = nn.Conv3d(1, 8, 3, padding=1)
    trainer = PretrainingTrainer(
        "cpu",
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=lambda prediction: prediction.square().mean(),
        train_data_loader=[torch.ones(2, 1, 4, 4, 4)],
        length=TrainingLength(2, batch_size=2, epochs=1),
        inferer=Whole(),
    )
    trainer.run()
    assert trainer.memory_format == torch.channels_last_3d
    assert network.weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_processes_that_are_seeded_alike_draw_masks_of_their_own(monkeypatch):
    def first_draw(rank: int) -> float:
        monkeypatch.setattr("monai_ext.parallel.random_streams.process_rank", lambda: rank)
        torch.manual_seed(0)
        draws: list[float] = []
        trainer = small_training()
        trainer.views = lambda images: draws.append(float(torch.rand(()))) or images
        trainer.run()
        return draws[0]

    assert first_draw(0) == first_draw(0)
    assert len({first_draw(rank) for rank in range(3)}) == 3


def byol_trainer(**options) -> PretrainingTrainer:
    """Three steps of BYOL without batch statistics, in double precision, on batches of eight."""
    torch.manual_seed(0)
    network = BYOL(
        nn.Sequential(nn.Flatten(), nn.Linear(16, 5)),
        projection=ProjectionHead(5, hidden_features=6, out_features=3),
        prediction=PredictionHead(3, hidden_features=4, batch_norm=False),
    ).double()
    return PretrainingTrainer(
        "cpu",
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9),
        loss_function=NegativeCosineSimilarity(),
        train_data_loader=list(torch.rand(3, 8, 1, 4, 4, dtype=torch.float64)),
        length=TrainingLength(24, batch_size=8, epochs=1),
        handlers=[MomentumUpdater(0.5)],
        **{"views": lambda images: [images, images.flip(-1)], "inferer": MultiViewInferer(), **options},
    )


@pytest.mark.parametrize("accumulation_steps", [2, 3, 4])
def test_lists_of_views_cut_into_parts_train_the_same_network(accumulation_steps):
    trainers = [byol_trainer(), byol_trainer(accumulation_steps=accumulation_steps)]
    for trainer in trainers:
        trainer.run()
    whole, parts = map(weights, trainers)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(*(trainer.state.output["loss"] for trainer in trainers))


def test_every_part_of_a_batch_has_all_views_of_its_own_images():
    parts = []

    class Look(MultiViewInferer):
        def __call__(self, inputs, network, *args, **kwargs):
            parts.append([view[:, 0, 0, 0].tolist() for view in inputs])
            return super().__call__(inputs, network)

    trainer = byol_trainer(
        accumulation_steps=3,
        inferer=Look(),
        views=lambda images: [images * 0 + torch.arange(8.0).reshape(8, 1, 1, 1) + 10 * view for view in range(2)],
    )
    trainer.run()
    assert parts[:3] == [
        [[0, 1, 2], [10, 11, 12]],
        [[3, 4, 5], [13, 14, 15]],
        [[6, 7], [16, 17]],
    ]


def test_every_view_has_the_memory_format_of_the_network():
    formats = []

    class Look(MultiViewInferer):
        def __call__(self, inputs, network, *args, **kwargs):
            formats.extend(view.is_contiguous(memory_format=torch.channels_last) for view in inputs)
            return super().__call__(inputs, network)

    def views(images):
        return [images.repeat(1, 2, 1, 1)[..., :4, : 2 * size] for size in (1, 1)]

    byol_trainer(inferer=Look(), views=views).run()
    assert formats == [True] * 6


@pytest.mark.parametrize("views", [lambda images: images[:2], lambda images: [images, images[:2]], lambda images: []])
def test_views_of_another_number_of_images_are_refused(views):
    with pytest.raises(ValueError, match="must each hold one of every image"):
        small_trainer(views=views).run()


def test_a_reader_that_was_killed_is_told_in_a_sentence_wherever_pytorch_notices_it() -> None:
    """Its signal handler raises in whatever line is being run."""

    def notice(engine: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    trainer, reported = small_trainer(), []
    trainer.add_event_handler(IterationEvents.FORWARD_COMPLETED, notice)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, notice)
    trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, exception: reported.append(exception))
    with pytest.raises(TrainingStoppedError, match=r"memory ran out.*resume from the last checkpoint") as stopped:
        trainer.run()
    assert reported == [stopped.value]
