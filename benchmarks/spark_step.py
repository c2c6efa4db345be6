"""Time and peak memory of one SparK training step: masked-dense execution against active blocks.

The baseline executes as the original code does: dense convolutions in single precision and contiguous memory, each
result multiplied by the mask, batch norm on gathered visible positions, torch's own ReLU6. All settings share one
process and one model and take turns, so that ratios hold on a noisy machine; times are medians of single steps, of
processor time on a CPU with ``--threads 1``, which other programs disturb less
(forward, loss, backward, LAMB), memory is the peak above the idle model with its gradients and optimiser state. Active
blocks run in the memory format that training chooses; bf16 is left out where it would be emulated. The instructions of
the processor are named, and ``ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2`` measures with fewer.

    python benchmarks/spark_step.py --batch 8 32 --repeats 7
    python benchmarks/spark_step.py --parts --batch 8     # arithmetic and seconds of encoder and decoder
"""

from __future__ import annotations

import argparse
import gc
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch
from resident_memory import MIB, large_blocks_returned_at_once
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from monai_ext.losses import MaskedReconstructionLoss
from monai_ext.networks import SparK, SparKDecoder, build_encoder
from monai_ext.networks.spark.decoder import InplaceReLU6
from monai_ext.optimizers import LAMB, parameter_groups
from monai_ext.parallel.devices import Precision
from monai_ext.parallel.memory_format import arrange_memory, memory_format_of
from monai_ext.parallel.processor import processor


@dataclass(frozen=True)
class Setting:
    """One way to execute the same step."""

    name: str
    backend: str
    precision: str
    is_baseline: bool = False


def settings(device: torch.device) -> list[Setting]:
    """The settings that the device computes itself; the baseline first."""
    kinds = [
        Setting("masked dense, fp32 (baseline)", "masked_dense", "fp32", is_baseline=True),
        Setting("active blocks, fp32", "active_blocks", "fp32"),
        Setting("active blocks, bf16", "active_blocks", "bf16"),
    ]
    emulates_bf16 = Precision("auto", device=device).name != "bf16"
    return [setting for setting in kinds if not (emulates_bf16 and setting.precision == "bf16")]


class Step:
    """A training step of SparK whose execution can be switched between settings."""

    def __init__(self, args: argparse.Namespace, batch: int) -> None:
        torch.manual_seed(0)
        self.device = torch.device(args.device)
        encoder = build_encoder(args.encoder, spatial_dims=args.spatial_dims, in_channels=args.channels)
        decoder = SparKDecoder(args.width, out_channels=args.channels, spatial_dims=args.spatial_dims)
        self.model = SparK(encoder, decoder).to(self.device)
        self.loss = MaskedReconstructionLoss()
        self.optimizer = LAMB(parameter_groups(self.model, weight_decay=0.04), lr=1e-5, betas=(0.9, 0.95))
        self.image = torch.rand(batch, args.channels, *[args.size] * args.spatial_dims, device=self.device)
        self.visible = self.model.draw_visible(self.image)

    def switch(self, setting: Setting) -> None:
        """Make the following steps run as ``setting`` says."""
        self.setting = setting
        self.model.backend = setting.backend
        self.precision = Precision(setting.precision, device=self.device)
        channels_last = False if setting.is_baseline else "auto"
        formats = arrange_memory(self.model, device=self.device, channels_last=channels_last)
        self.batch = self.image.contiguous(memory_format=formats[""])
        for level in self.model.decoder.levels:
            level.convolutions[2] = nn.ReLU6(inplace=True) if setting.is_baseline else InplaceReLU6()

    def parts(self) -> dict[str, Callable[[], Tensor]]:
        """The forward pass of each part, down to one number."""
        maps = self._dense_maps()
        with torch.no_grad():
            projected = self._projected(maps)
        projected = [dense.requires_grad_() for dense in projected]
        return {
            "encoder": lambda: sum(x.values.sum() for x in self.model.encode(self.batch, self.visible)),  # type: ignore
            "projections": lambda: sum(dense.square().sum() for dense in self._projected(maps)),  # type: ignore
            "decoder": lambda: self.model.decoder(projected).square().mean(),
        }

    def run_part(self, part: str) -> float:
        """Seconds of a part, forward and backward."""
        forward = self.parts()[part]
        start = self.now()
        forward().backward()
        taken = self.now() - start
        self.optimizer.zero_grad(set_to_none=False)
        return taken

    def count(self, part: str) -> float:
        """GFLOP of a part: the forward pass, and twice as much backward."""
        forward = self.parts()[part]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            forward()
        return 3 * counter.get_total_flops() / 1e9

    def _dense_maps(self) -> list[Tensor]:
        """Random maps of the encoder's sizes in the format of the projections; deepest first."""
        order = memory_format_of(self.model.densify_projections)
        sizes = [(len(token[0]), side) for token, side in zip(self.model.mask_tokens, self._sides(), strict=True)]
        return [
            torch.rand(len(self.image), width, *[side] * self.model.spatial_dims, device=self.device)
            .contiguous(memory_format=order)
            .requires_grad_()
            for width, side in sizes
        ]

    def _sides(self) -> list[int]:
        deepest = self.image.shape[-1] // self.model.patch_size
        return [deepest * 2**level for level in range(len(self.model.mask_tokens))]

    def _projected(self, maps: list[Tensor]) -> list[Tensor]:
        return [project(dense) for project, dense in zip(self.model.densify_projections, maps, strict=True)]

    def now(self) -> float:
        """Seconds of this process where it is one thread on a CPU, else those of the clock, all work done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        alone = self.device.type == "cpu" and torch.get_num_threads() == 1
        return time.process_time() if alone else time.perf_counter()

    def run(self) -> None:
        """Run one step."""
        with self.precision.autocast():
            prediction = self.model(self.batch, self.visible)
        self.loss(prediction, self.batch, self.visible).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)


def peak_memory(step: Step) -> float:
    """Peak memory of a step above the idle model, MiB."""
    gc.collect()
    if step.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        idle = torch.cuda.memory_allocated()
        step.run()
        return (torch.cuda.max_memory_allocated() - idle) / MIB
    process, peak, done = psutil.Process(), 0, threading.Event()
    idle = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, process.memory_info().rss)
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    step.run()
    done.set()
    watcher.join()
    return (peak - idle) / MIB


def measure(step: Step, repeats: int) -> dict[Setting, tuple[list[float], float]]:
    """Seconds of each repeat and peak MiB, for every setting."""
    memory, kinds = {}, settings(step.device)
    with large_blocks_returned_at_once():  # first, while the heap holds no freed memory
        for setting in kinds:
            step.switch(setting)
            step.run()
            memory[setting] = peak_memory(step)
    seconds: dict[Setting, list[float]] = {setting: [] for setting in kinds}
    for repeat in range(repeats + 1):
        for setting in kinds:
            step.switch(setting)
            start = step.now()
            step.run()
            if repeat > 0:  # the first round warms up
                seconds[setting].append(step.now() - start)
    return {setting: (seconds[setting], memory[setting]) for setting in kinds}


def measure_parts(step: Step, repeats: int) -> None:
    """Print arithmetic and seconds of the encoder, the projections and the decoder, forward and backward."""
    masked_dense, active_blocks = settings(step.device)[:2]
    runs = {
        "encoder, masked dense": (masked_dense, "encoder"),
        "encoder, active blocks": (active_blocks, "encoder"),
        "projections": (active_blocks, "projections"),
        "decoder": (active_blocks, "decoder"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    flops = {}
    for repeat in range(repeats + 1):
        for name, (setting, part) in runs.items():
            step.switch(setting)
            taken = step.run_part(part)
            if repeat == 0:  # the first round warms up
                flops[name] = step.count(part)
            else:
                seconds[name].append(taken)
    print("\n| part | GFLOP | seconds |\n|---|---|---|")
    for name in runs:
        print(f"| {name} | {flops[name]:.0f} | {statistics.median(seconds[name]):.2f} |")
    print(_explain(flops, visible=1 - step.model.masked_fraction))
    pairs = zip(seconds["encoder, masked dense"], seconds["encoder, active blocks"], strict=True)
    ratios = [dense / blocks for dense, blocks in pairs]
    print(f"The encoder alone: {statistics.median(ratios):.2f} x ({min(ratios):.2f} - {max(ratios):.2f}).")


def _explain(flops: dict[str, float], visible: float) -> str:
    """What sparsity alone can give the step."""
    encoder, decoder = flops["encoder, masked dense"], flops["decoder"]
    dense = decoder + flops["projections"]
    bounds = [(part + encoder) / (part + visible * encoder) for part in (decoder, dense)]
    return (
        f"\nThe decoder has {decoder:.0f} of {decoder + encoder:.0f} GFLOP, which bounds what sparsity can give at "
        f"{bounds[0]:.2f} x; with the projections {dense:.0f} of {dense + encoder:.0f}, at {bounds[1]:.2f} x."
    )


def parser(
    description: str | None, *, batch: list[int], repeats: int, width: int, size: int
) -> argparse.ArgumentParser:
    """Options of a benchmark of steps, with its own defaults."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--batch", type=int, nargs="+", default=batch)
    options.add_argument("--repeats", type=int, default=repeats)
    options.add_argument("--encoder", default="resnet50")
    options.add_argument("--width", type=int, default=width, help="width of the decoder")
    options.add_argument("--size", type=int, default=size, help="pixels along one axis")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--parts", action="store_true", help="encoder and decoder apart, in place of whole steps")
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    return options


def main() -> None:
    options = parser(__doc__, batch=[8, 32], repeats=7, width=768, size=224)
    options.set_defaults(spatial_dims=2, channels=3)
    compare(options.parse_args())


def compare(args: argparse.Namespace) -> None:
    """Print the table of all settings."""
    torch.set_num_threads(args.threads)
    print(
        f"torch {torch.__version__}, {args.device}, {processor().name}, {torch.get_num_threads()} threads, "
        f"{args.encoder}, {' x '.join([str(args.size)] * args.spatial_dims)} px, decoder width {args.width}"
    )
    if args.parts:
        measure_parts(Step(args, args.batch[0]), args.repeats)
        return
    print("\n| batch | setting | seconds | speed | pairwise, min - max | peak MiB above idle | memory |")
    print("|---|---|---|---|---|---|---|")
    for batch in args.batch:
        results = measure(Step(args, batch), args.repeats)
        baseline_seconds, baseline_memory = next(iter(results.values()))
        for setting, (seconds, memory) in results.items():
            pairs = [b / s for b, s in zip(baseline_seconds, seconds, strict=True)]
            print(
                f"| {batch} | {setting.name} | {statistics.median(seconds):.2f} | {statistics.median(pairs):.2f} x | "
                f"{min(pairs):.2f} - {max(pairs):.2f} | {memory:.0f} | {memory / baseline_memory:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
