"""Two processes that train together end with the weights of one process on the joint batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from monai.inferers import Inferer
from monai.networks import nets
from torch import Tensor, nn

from helpers.two_processes import run_two_processes
from monai_ext.data import StreamSampler, slice_loader
from monai_ext.engines import PretrainingTrainer, TrainingLength, distribute, unwrap
from monai_ext.losses import MaskedReconstructionLoss
from monai_ext.networks import SparK, SparKDecoder
from monai_ext.optimizers import LAMB, parameter_groups

IMAGES, BATCH = 16, 8


class MaskOfTheImage(Inferer):
    """Draws the mask of an image from its own first pixel, so that it does not matter which process has the image."""

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor]:
        seeds = [int(image.flatten()[0] * 1e9) for image in inputs]
        draw = unwrap(network).draw_visible
        masks = [draw(i[None], torch.Generator().manual_seed(s)) for i, s in zip(inputs, seeds, strict=True)]
        visible = torch.cat(masks)
        return network(inputs, visible), inputs, visible


def make_network() -> SparK:
    torch.manual_seed(0)
    encoder = nets.ResNet(
        "basic", [1, 1, 1, 1], [8, 8, 16, 32], 2, 1, conv1_t_stride=2, bias_downsample=False, feed_forward=False
    )
    return SparK(encoder, SparKDecoder(32)).double()


def train(rank: int, processes: int, folder: str) -> None:
    torch.set_num_threads(1)
    if processes > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=processes)
    generator = torch.Generator().manual_seed(1)
    dataset = list(torch.rand(IMAGES, 1, 64, 64, dtype=torch.float64, generator=generator))
    network = distribute(make_network(), device="cpu")
    loader = slice_loader(
        dataset,  # type: ignore[arg-type]
        batch_size=BATCH,
        sampler=StreamSampler(dataset, seed=3),  # type: ignore[arg-type]
        num_workers=0,
    )
    trainer = PretrainingTrainer(
        "cpu",
        network=network,
        optimizer=LAMB(parameter_groups(network, weight_decay=0.04), lr=0.01),
        loss_function=MaskedReconstructionLoss(),
        train_data_loader=loader,
        length=TrainingLength(IMAGES, batch_size=BATCH, images_seen=4 * BATCH),
        inferer=MaskOfTheImage(),
    )
    trainer.run()
    torch.save(unwrap(network).state_dict(), Path(folder) / f"{processes}-{rank}.pt")
    if processes > 1:
        dist.destroy_process_group()


def train_together(rank: int, folder: Path) -> None:
    train(rank, 2, str(folder))


def test_two_processes_train_like_one_on_the_joint_batch(tmp_path: Path) -> None:
    run_two_processes(train_together, tmp_path)
    train(0, 1, str(tmp_path))
    first, second, alone = (torch.load(tmp_path / name) for name in ("2-0.pt", "2-1.pt", "1-0.pt"))
    start = make_network().state_dict()
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-8, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")
        torch.testing.assert_close(second[name], value, rtol=1e-8, atol=1e-10)
    assert not torch.allclose(alone["encoder.conv1.weight"], start["encoder.conv1.weight"])
    assert not torch.allclose(alone["encoder.bn1.running_mean"], start["encoder.bn1.running_mean"])
