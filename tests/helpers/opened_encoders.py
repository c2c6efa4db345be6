"""Small encoders and labelled pictures for comparisons layer by layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from monai.networks.nets.resnet import ResNet
from PIL import Image

from monai_ext.study.layers import JudgedImages, OpenedEncoder, open_judged_images

SIZE = 64


def tiny_encoder(name: str, *, seed: int = 0, trained: bool = True, size: int = SIZE) -> OpenedEncoder:
    """A ResNet of thousands of random weights."""
    torch.manual_seed(seed)
    network = ResNet(
        "basic", [1, 1, 1, 1], [8, 8, 16, 32], spatial_dims=2, n_input_channels=1, conv1_t_stride=2,
        bias_downsample=False, feed_forward=False,
    )  # fmt: skip
    return OpenedEncoder(
        name=name,
        network=network.eval().requires_grad_(False),
        architecture="2D resnet10",
        trained=trained,
        image_size=size,
        window="full",
        channels=1,
        about={"layout": "test", "seed": seed},
    )


def write_pictures(folder: Path, *, patients: int = 20, classes: tuple[str, ...] = ("healthy", "ill")) -> Path:
    """Two noisy pictures a patient, of patients of each class in turn; the last third of patients is for testing."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["file,label,patient_id,split"]
    for number in range(2 * patients):
        patient = number // 2
        label = patient % len(classes)
        pixels = generator.normal(90 + 40 * label, 40, (SIZE + 4, SIZE + 8)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        section = "test" if patient >= 2 * patients // 3 else "train"
        lines.append(f"{number}.png,{classes[label]},p{patient},{section}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def judged_pictures(folder: Path) -> JudgedImages:
    """48 of 72 pictures of 36 patients, in three folds."""
    return open_judged_images(write_pictures(folder, patients=36), folds=3)
