"""Make an encoder for gray images of ImageNet's ResNet-18 where layer 4 is missing and batch norm is folded away.

    python scripts/convert_folded_resnet18.py shared/data/resnet18_imagenet_partial POOL encoders/partial_imagenet.pt

SOURCE holds ``conv1.weight.npy``, ``layer1.0.conv1.bias.npy`` and so on: convolutions with the scale of their batch
norm multiplied in, its shift as bias. The three input channels become one: ImageNet's normalisation of a gray image in
[0, 1] is multiplied into the stem and its bias. Batch norm is put back with the statistics that the images of POOL
give, so that the encoder computes about the same with these statistics and with those of a batch. Layer 4 keeps random
weights of ``--seed``, with statistics of the same images.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

import monai_ext
from monai_ext.data import open_slices
from monai_ext.networks import build_encoder

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_PARTS = ("conv1", "layer1", "layer2", "layer3")
_IMAGES, _BATCH = 1024, 64


def main() -> None:
    """Parse, convert, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of the .npy files")
    parser.add_argument("pool", type=Path, help="images that batch norm takes its statistics from: not those of a test")
    parser.add_argument("encoder", type=Path, help="file to write")
    parser.add_argument("--seed", type=int, default=0, help="of layer 4 (default: 0)")
    parser.add_argument("--image-size", type=int, default=96, help="side of the images in pixels (default: 96)")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    encoder: Any = build_encoder("resnet18", in_channels=1).eval()
    read_folded(encoder, options.source)
    batches = images(options.pool, options.image_size, options.seed)
    unfold(encoder, batches)
    estimate(encoder.layer4, encoder, batches)
    metadata = {
        "method": "ImageNet, supervised, stem to layer 3; layer 4 random",
        "seed": options.seed,
        "monai_ext_version": monai_ext.__version__,
    }
    options.encoder.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": encoder.state_dict(), "metadata": metadata}, options.encoder)
    print(f"{options.encoder}: stem to layer 3 of {options.source}, layer 4 random (seed {options.seed})")


def read_folded(encoder: nn.Module, source: Path) -> None:
    """Take the folded convolutions; batch norm only adds their bias."""
    convolutions = [name for name, part in encoder.named_modules() if isinstance(part, nn.Conv2d)]
    norms = [name for name, part in encoder.named_modules() if isinstance(part, _BatchNorm)]
    for convolution, norm in zip(convolutions, _following(convolutions, norms), strict=True):
        if not convolution.startswith(_PARTS):
            continue
        weight, bias = (torch.from_numpy(np.load(source / f"{convolution}.{what}.npy")) for what in ("weight", "bias"))
        if convolution == "conv1":
            weight, bias = _for_gray(weight, bias)
        part, after = encoder.get_submodule(convolution), encoder.get_submodule(norm)
        assign(part, weight=weight)
        assign(after, weight=torch.ones_like(bias), bias=bias, running_mean=torch.zeros_like(bias))
        assign(after, running_var=torch.full_like(bias, 1 - after.eps))  # type: ignore[arg-type, operator]


def _following(convolutions: list[str], norms: list[str]) -> list[str]:
    """The batch norm of each convolution: bn1 of conv1, downsample.1 of downsample.0."""
    names = {
        name: name.replace("downsample.0", "downsample.1") if "downsample" in name else name.replace("conv", "bn")
        for name in convolutions
    }
    assert set(names.values()) == set(norms)
    return list(names.values())


def _for_gray(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """One channel of 0 .. 1 instead of three that are normalised as ImageNet is; the border sees zeros of gray."""
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _DEVIATION))
    scaled = weight / deviation
    return scaled.sum(dim=1, keepdim=True), bias - (scaled * mean).sum(dim=(1, 2, 3))


def images(pool: Path, size: int, seed: int) -> list[Tensor]:
    """Batches (B, 1, S, S) of at most 1,024 images, drawn at random."""
    data = open_slices(pool, section="all", image_size=size)
    chosen = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:_IMAGES].tolist()
    loader = DataLoader(torch.utils.data.Subset(data, chosen), batch_size=_BATCH, drop_last=True)
    return [batch.float() for batch in loader]


@torch.inference_mode()
def unfold(encoder: nn.Module, batches: list[Tensor]) -> None:
    """Give each folded batch norm the statistics of its inputs, and scale and shift that undo them."""
    norms = [part for name, part in encoder.named_modules() if isinstance(part, _BatchNorm) and "layer4" not in name]
    with statistics_of(norms) as sums:
        for batch in batches:
            encoder(batch)
    for norm in norms:
        count, total, squares = sums[norm]
        mean = total / count
        variance = (squares / count - mean**2).clamp_min(1e-8)
        scale = (variance + norm.eps).sqrt()
        shift = norm.bias.double() + mean
        assign(norm, weight=scale, bias=shift, running_mean=mean, running_var=variance)


@contextmanager
def statistics_of(norms: list[_BatchNorm]) -> Iterator[dict[nn.Module, list[Any]]]:
    """Positions, sums and sums of squares of what these layers are given, per channel, in float64."""
    sums: dict[nn.Module, list[Any]] = {norm: [0, 0.0, 0.0] for norm in norms}

    def add(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double().transpose(0, 1).flatten(1)
        sums[norm] = [
            sums[norm][0] + values.shape[1],
            sums[norm][1] + values.sum(1),
            sums[norm][2] + (values**2).sum(1),
        ]

    hooks = [norm.register_forward_pre_hook(add) for norm in norms]
    yield sums
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def estimate(part: nn.Module, encoder: nn.Module, batches: list[Tensor]) -> None:
    """Running statistics of a part whose weights are random: the mean over the batches."""
    norms = [norm for norm in part.modules() if isinstance(norm, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    part.train()
    for batch in batches:
        encoder(batch)
    encoder.eval()


def assign(module: nn.Module, **values: Tensor) -> None:
    """Copy values into parameters and buffers of the same shape."""
    with torch.no_grad():
        for name, value in values.items():
            place = getattr(module, name)
            assert place.shape == value.shape, f"{name} has shape {tuple(value.shape)}, not {tuple(place.shape)}"
            place.copy_(value)


if __name__ == "__main__":
    main()
