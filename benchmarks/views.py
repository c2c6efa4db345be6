"""Time of random views: this project's against Kornia's and against one image at a time with Pillow.

All contenders make the same kinds of views of the same batch and take turns in one process; the ratio is the median of
the ratios of neighbouring rounds. On a CPU what is compared is processor time on one thread, which other programs on
the machine disturb least; on a GPU it is the time until the result is there. Kornia is compared where it is installed
(``pip install kornia``). A second table compares ways to resample one box of every image.

    python benchmarks/views.py --batch 128 --repeats 7 [--device cuda]
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from contrastive_step import pillow_view
from PIL import Image
from torch.nn.functional import interpolate

from monai_ext.transforms import MultiView, RandomView, RandResizedCropFlip
from monai_ext.transforms.resample import _taps, resample_boxes

Contender = Callable[[torch.Tensor], Any]
GLOBAL_CROP = {"BYOL, MoCo v2: 2 x 224": (0.2, 1.0), "SwAV: 2 x 224 + 6 x 96": (0.9, 1.0)}
LOCAL_CROP = (0.1, 0.33)


def ours(scale: tuple[float, float], locals_: int) -> MultiView:
    """The views of a bundle."""
    options: dict[str, Any] = {"flips": [0, 0], "rotation": None, "noise": None} if locals_ else {}
    kinds = {"global": RandomView(224, scale=scale, **options)}
    counts = {"global": 2}
    if locals_:
        kinds["local"] = RandomView(96, scale=LOCAL_CROP, **options)
        counts["local"] = locals_
    return MultiView(kinds, counts=counts)


def with_kornia(scale: tuple[float, float], locals_: int) -> Contender:
    """The same steps of Kornia; its crops are not antialiased."""
    import kornia.augmentation as augmentation

    def view(size: int, area: tuple[float, float]) -> torch.nn.Module:
        geometry = [
            augmentation.RandomHorizontalFlip(0.5),
            augmentation.RandomVerticalFlip(0.5),
            augmentation.RandomRotation(180.0, p=0.5),
        ]
        return torch.nn.Sequential(
            augmentation.RandomResizedCrop((size, size), scale=area),
            *([] if locals_ else geometry),
            augmentation.RandomBrightness((0.6, 1.4), p=1.0),
            augmentation.RandomContrast((0.6, 1.4), p=1.0),
            augmentation.RandomGaussianBlur((13, 13), (0.1, 2.0), p=0.5),
            *([] if locals_ else [augmentation.RandomGaussianNoise(std=0.006, p=0.5)]),
        )

    views = [view(224, scale)] * 2 + [view(96, LOCAL_CROP)] * locals_
    return lambda images: [view(images) for view in views]


def with_pillow(scale: tuple[float, float], locals_: int) -> Contender:
    """One 8-bit image at a time, in this process, by the recipe of ``contrastive_step.py``."""
    generator = np.random.default_rng(0)
    kinds = [(224, scale)] * 2 + [(96, LOCAL_CROP)] * locals_

    def make(images: torch.Tensor) -> list[torch.Tensor]:
        pictures = [Image.fromarray(image) for image in (images[:, 0].cpu() * 255).byte().numpy()]
        views = (
            torch.stack([pillow_view(picture, *kind, generator=generator, turned=not locals_) for picture in pictures])
            for kind in kinds
        )
        return [view.to(images.device) for view in views]

    return make


def resamplers(size: int, scale: tuple[float, float]) -> dict[str, Contender]:
    """Ways to cut the same boxes and resize them, antialiased."""
    crop = RandResizedCropFlip(size, scale=scale, flip_probability=0)
    generator = torch.Generator().manual_seed(0)

    def boxes(images: torch.Tensor) -> torch.Tensor:
        return crop.randomize(images, generator=generator).boxes

    def products(images: torch.Tensor) -> torch.Tensor:
        top, left, height, width = boxes(images).to(images.device).unbind(1)
        matrices = []
        for start, extent, length in ((top, height, images.shape[-2]), (left, width, images.shape[-1])):
            positions, weights = _taps(start, extent, length=length, size=size, taps=4)
            matrix = torch.zeros(len(images), 1, size, length, device=images.device)
            matrices.append(matrix.scatter_add_(3, positions[:, None], weights[:, None]))
        return matrices[0] @ images @ matrices[1].mT

    def one_by_one(images: torch.Tensor) -> torch.Tensor:
        cuts = boxes(images).round().int().tolist()
        return torch.cat(
            [
                interpolate(image[None, :, t : t + h, w0 : w0 + w], (size, size), mode="bilinear", antialias=True)
                for image, (t, w0, h, w) in zip(images, cuts, strict=True)
            ]
        )

    return {
        "sums over rows (here)": lambda images: resample_boxes(images, boxes(images), size=size),
        "matrix products": products,
        "torch interpolate, one by one": one_by_one,
    }


def measure(contenders: dict[str, Contender], images: torch.Tensor, repeats: int) -> dict[str, list[float]]:
    """Seconds of each round, in turns; the first round warms up."""
    on_gpu = images.device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats + 1):
        for name, contender in contenders.items():
            start = clock()
            contender(images)
            if on_gpu:
                torch.cuda.synchronize()
            seconds[name].append(clock() - start)
    return {name: rounds[1:] for name, rounds in seconds.items()}


def report(title: str, seconds: dict[str, list[float]], batch: int) -> None:
    first = next(iter(seconds.values()))
    for name, rounds in seconds.items():
        middle = statistics.median(rounds)
        ratios = [other / own for own, other in zip(first, rounds, strict=True)]
        print(
            f"| {title} | {name} | {middle * 1e3:.1f} | {middle / batch * 1e6:.0f} | {statistics.median(ratios):.2f}"
            f" | {min(ratios):.2f} - {max(ratios):.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    images = torch.rand(args.batch, 1, 256, 256).to(args.device)
    print(f"torch {torch.__version__}, {args.device}, one CPU thread, {args.batch} images of 256 x 256")
    print("\n| views | made by | ms | us an image | times ours | min - max |\n|---|---|---|---|---|---|")
    for title, scale in GLOBAL_CROP.items():
        locals_ = 6 if "96" in title else 0
        contenders: dict[str, Contender] = {"this project": ours(scale, locals_)}
        if importlib.util.find_spec("kornia") is not None:
            contenders["Kornia"] = with_kornia(scale, locals_)
        contenders["Pillow, one by one"] = with_pillow(scale, locals_)
        report(title, measure(contenders, images, args.repeats), args.batch)
    for size, scale in ((224, (0.2, 1.0)), (96, LOCAL_CROP)):
        report(f"crop to {size}, nothing else", measure(resamplers(size, scale), images, args.repeats), args.batch)


if __name__ == "__main__":
    main()
