"""Whole training iterations (data + views + step) of every method: this project against the usual recipe.

The usual recipe is written below: data workers open 8-bit PNG files, make the views of one image at a time with Pillow,
and the network trains in single precision and PyTorch's default memory format (SparK: masked-dense execution, as the
original does). This project reads the same files into memory once, makes views by the batch, trains
in the memory format that is the faster one for each part, and in bfloat16 where that is not emulated. Network, loss and
optimiser are those of the bundle's train.json.

On a CPU what is compared is processor time, of the training process (on one thread, which never waits for another)
and its data workers together: where all cores are busy, it decides on the length of a training, and other programs on
the machine disturb it least. On a GPU it is the time that passes.

Settings take turns in one process, an epoch each. An epoch begins with an empty pipeline and ends when all its images
are trained on, so no setting profits from data that was made during another's turn. Ratios are those of neighbouring
epochs. Files are as large as what views are cropped from, so that decoding them is as cheap as it can be.

    python benchmarks/contrastive_step.py --backbone resnet18 --image_size 128 --batch 16 --iterations 3 --repeats 3
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from monai.bundle import ConfigParser
from PIL import Image, ImageEnhance, ImageFilter
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from monai_ext.data import StreamSampler, open_slices, slice_loader
from monai_ext.parallel.devices import Precision
from monai_ext.parallel.memory_format import arrange_memory
from monai_ext.parallel.processor import processor

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"
METHODS = sorted(path.name.removesuffix("_pretrain") for path in BUNDLES.glob("*_pretrain"))
USUAL = "usual recipe"


def settings(device: str) -> list[str]:
    """The recipe, and what the device computes itself."""
    emulates_bf16 = Precision("auto", device=torch.device(device)).name != "bf16"
    return [USUAL, "here, fp32"] + ([] if emulates_bf16 else ["here, bf16"])


def pillow_view(
    picture: Image.Image, size: int, scale: Sequence[float], *, generator: np.random.Generator, turned: bool = True
) -> Tensor:
    """One view of one picture, (1, size, size): the steps of ``RandomView`` with its default amounts.

    Without ``turned`` the steps that the study's SwAV has: no mirroring, no rotation, no noise.
    """
    view = pillow_crop(picture, size, scale, generator=generator, mirrored=turned)
    if turned and generator.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if turned and generator.random() < 0.5:
        view = view.rotate(generator.uniform(-180, 180), Image.Resampling.BILINEAR)
    view = ImageEnhance.Brightness(view).enhance(generator.uniform(0.6, 1.4))
    view = ImageEnhance.Contrast(view).enhance(generator.uniform(0.6, 1.4))
    if generator.random() < 0.5:
        view = view.filter(ImageFilter.GaussianBlur(generator.uniform(0.1, 2.0)))
    pixels = np.asarray(view, np.float32) / 255
    if turned and generator.random() < 0.5:
        deviation = np.float32(10 ** generator.uniform(-2.5, -2))
        pixels = pixels + deviation * generator.standard_normal(pixels.shape, np.float32)
    return torch.from_numpy(pixels.clip(0, 1))[None]


def pillow_crop(
    picture: Image.Image, size: int, scale: Sequence[float], *, generator: np.random.Generator, mirrored: bool = True
) -> Any:
    """A random box of a (square) picture, resized with antialiasing, mirrored left and right by chance."""
    width, height = picture.size
    for _ in range(10):
        ratio = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
        pixels = width * height * generator.uniform(*scale)
        box_width, box_height = round((pixels * ratio) ** 0.5), round((pixels / ratio) ** 0.5)
        if box_width <= width and box_height <= height:
            break
    else:
        box_width, box_height = width, height
    left, top = generator.integers(width - box_width + 1), generator.integers(height - box_height + 1)
    box = (left, top, left + box_width, top + box_height)
    view = picture.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored and generator.random() < 0.5 else view


class PictureViews(Dataset[Any]):
    """The usual data set: opens a file and makes its views."""

    def __init__(
        self, files: Sequence[Path], kinds: Sequence[tuple[int, Sequence[float]]], *, crop_only: bool, turned: bool
    ) -> None:
        self.files, self.kinds, self.crop_only, self.turned = files, kinds, crop_only, turned

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        generator = np.random.default_rng(torch.initial_seed() % 2**32 + index)
        with Image.open(self.files[index]) as file:
            picture = file.convert("L")
        if self.crop_only:
            view = pillow_crop(picture, *self.kinds[0], generator=generator)
            return torch.from_numpy(np.asarray(view, np.float32) / 255)[None]
        return [pillow_view(picture, *kind, generator=generator, turned=self.turned) for kind in self.kinds]


class Training:
    """One method, trained in one of the settings, an epoch at a time."""

    def __init__(self, setting: str, files: Sequence[Path], args: argparse.Namespace) -> None:
        config = read_config(args)
        torch.manual_seed(0)
        self.usual = setting == USUAL
        self.device = torch.device(args.device)
        self.network = config.get_parsed_content("network").to(self.device)
        channels_last = False if self.usual else "auto"
        self.memory_format = arrange_memory(self.network, device=self.device, channels_last=channels_last)[""]
        if self.usual and hasattr(self.network, "backend"):
            self.network.backend = "masked_dense"
        self.loss = config.get_parsed_content("loss")
        self.optimizer = config.get_parsed_content("optimizer")
        self.inferer = config.get_parsed_content("train::inferer")
        self.precision = Precision("bf16" if setting.endswith("bf16") else "fp32", device=self.device)
        self.views = config.get_parsed_content("train::views")
        self.iterations = args.iterations
        self.loader = self._usual_loader(files, args) if self.usual else self._loader(files[0].parent, args)

    def _usual_loader(self, files: Sequence[Path], args: argparse.Namespace) -> Any:
        kinds = [(self.views.size, self.views.boxes.scale)] if args.method == "spark" else list(self._kinds())
        dataset = PictureViews(files, kinds, crop_only=args.method == "spark", turned=args.method != "swav")
        return DataLoader(
            dataset, args.batch, shuffle=True, drop_last=True, num_workers=args.workers, persistent_workers=True
        )

    def _kinds(self) -> Iterator[tuple[int, Sequence[float]]]:
        for kind in self.views.kinds:
            view = self.views.augmentations[kind]
            yield view.size, view.steps[0].boxes.scale

    def _loader(self, folder: Path, args: argparse.Namespace) -> Any:
        dataset = open_slices(folder, image_size=args.image_size, validation_fraction=0.0)
        for index in range(len(dataset)):
            dataset[index]  # into memory, where all epochs but the first find it
        sampler = StreamSampler(dataset, seed=0)
        return slice_loader(dataset, batch_size=args.batch, sampler=sampler, num_workers=args.workers)

    def epoch(self) -> tuple[float, float]:
        """Seconds of an iteration, see :func:`now`, from the first request for data to the last step."""
        start = now()
        batches = iter(self.loader)
        for _ in range(self.iterations):
            self._step(next(batches))
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        compared, passed = ((after - before) / self.iterations for before, after in zip(start, now(), strict=True))
        return (passed if self.device.type == "cuda" else compared), passed

    def _step(self, batch: Any) -> None:
        """What ``PretrainingTrainer`` does in an iteration, with the bundle's parts."""
        if self.usual:
            views = batch.to(self.device) if isinstance(batch, Tensor) else [view.to(self.device) for view in batch]
        else:
            views = self.views(batch.to(self.device, non_blocking=True))
            if isinstance(views, Tensor):
                views = views.contiguous(memory_format=self.memory_format)
            else:
                views = [view.contiguous(memory_format=self.memory_format) for view in views]
        with self.precision.autocast():
            output = self.inferer(views, self.network)
        self.loss(*output).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if hasattr(self.network, "update_teacher"):
            self.network.update_teacher(0.99)


def now() -> tuple[float, float]:
    """Processor seconds of this process and its data workers, and the time of the clock."""
    workers = [worker.cpu_times() for worker in psutil.Process().children(recursive=True)]
    return time.process_time() + sum(used.user + used.system for used in workers), time.perf_counter()


def read_config(args: argparse.Namespace) -> ConfigParser:
    """The bundle's train.json at the size that is asked for."""
    config = ConfigParser()
    config.read_config(str(BUNDLES / f"{args.method}_pretrain" / "configs" / "train.json"))
    wanted = {"backbone": args.backbone, "image_size": args.image_size, "batch_size": args.batch, "device": args.device}
    local_size = max(32, round(args.image_size * 96 / 224 / 32) * 32)
    for name, value in {**wanted, "local_size": local_size, "fitted_queue_size": 64 * args.batch}.items():
        if name in config:
            config[name] = value
    if "queue_size" in config:
        config["queue_size"] = 64 * args.batch
    return config


def write_pictures(folder: Path, args: argparse.Namespace) -> list[Path]:
    """As many 8-bit PNG files as an epoch needs, of the embedded sample's slices."""
    slices = open_slices(None, image_size=args.image_size, window=[-250, 1500], section="all")
    size = -(-args.image_size * 8 // 7)
    files = []
    for number in range(args.iterations * args.batch):
        pixels = (slices[number % len(slices)][0] * 255).round().byte().numpy()
        files.append(folder / f"{number:05d}.png")
        Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR).save(files[-1])
    return files


def measure(method: str, files: Sequence[Path], args: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Seconds an iteration, compared and passed, of each repeat, for every setting; the first round warms up."""
    args.method = method
    trainings = {setting: Training(setting, files, args) for setting in settings(args.device)}
    seconds: dict[str, list[tuple[float, float]]] = {setting: [] for setting in trainings}
    for repeat in range(args.repeats + 1):
        for setting, training in trainings.items():
            taken = training.epoch()
            if repeat > 0:
                seconds[setting].append(taken)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=6, help="of an epoch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    if args.device == "cpu":
        torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, {args.device}, {processor().name}, {torch.get_num_threads()} threads,"
        f" {args.workers} data workers, {args.backbone}, {args.image_size} px, batch {args.batch}"
    )
    print("\n| method | setting | seconds an iteration | speed | pairwise, min - max | seconds passed |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        files = write_pictures(Path(folder), args)
        for method in args.methods:
            results = measure(method, files, args)
            for setting, seconds in results.items():
                pairs = [usual[0] / own[0] for usual, own in zip(results[USUAL], seconds, strict=True)]
                compared, passed = (statistics.median(values) for values in zip(*seconds, strict=True))
                print(
                    f"| {method} | {setting} | {compared:.2f} | {statistics.median(pairs):.2f} x |"
                    f" {min(pairs):.2f} - {max(pairs):.2f} | {passed:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
