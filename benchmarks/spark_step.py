"""Time and peak memory of one SparK training step: masked-dense execution against active blocks.

The baseline executes as the original code does: dense convolutions in single precision and contiguous memory, each
result multiplied by the mask, batch norm on gathered visible positions, torch's own ReLU6. All settings share one
process and one model and take turns, so that ratios hold on a noisy machine; times are medians of single steps
(forward, loss, backward, LAMB), memory is the peak above the idle model with its gradients and optimiser state.

    python benchmarks/spark_step.py --batch 8 32 --repeats 7
"""

from __future__ import annotations

import argparse
import gc
import statistics
import threading
import time
from dataclasses import dataclass

import psutil
import torch
from resident_memory import MIB, large_blocks_returned_at_once
from torch import nn

from monai_ext.losses import MaskedReconstructionLoss
from monai_ext.networks import SparK, SparKDecoder, build_encoder
from monai_ext.networks.spark.decoder import InplaceReLU6
from monai_ext.optimizers import LAMB, parameter_groups


@dataclass(frozen=True)
class Setting:
    """One way to execute the same step."""

    name: str
    backend: str
    autocast: bool
    channels_last: bool
    stock_relu6: bool = False


SETTINGS = [
    Setting("masked dense, fp32 (baseline)", "masked_dense", autocast=False, channels_last=False, stock_relu6=True),
    Setting("active blocks, fp32", "active_blocks", autocast=False, channels_last=True),
    Setting("active blocks, bf16", "active_blocks", autocast=True, channels_last=True),
]


class Step:
    """A training step of SparK whose execution can be switched between settings."""

    def __init__(self, args: argparse.Namespace, batch: int) -> None:
        torch.manual_seed(0)
        self.device = torch.device(args.device)
        encoder = build_encoder(args.encoder, in_channels=3)
        self.model = SparK(encoder, SparKDecoder(args.width, out_channels=3)).to(self.device)
        self.loss = MaskedReconstructionLoss()
        self.optimizer = LAMB(parameter_groups(self.model, weight_decay=0.04), lr=1e-5, betas=(0.9, 0.95))
        self.image = torch.rand(batch, 3, args.size, args.size, device=self.device)
        self.visible = self.model.draw_visible(self.image)

    def switch(self, setting: Setting) -> None:
        """Make the following steps run as ``setting`` says."""
        self.setting = setting
        self.model.backend = setting.backend
        memory_format = torch.channels_last if setting.channels_last else torch.contiguous_format
        self.model.to(memory_format=memory_format)  # type: ignore[call-overload]
        self.batch = self.image.contiguous(memory_format=memory_format)
        for level in self.model.decoder.levels:
            level.convolutions[2] = nn.ReLU6(inplace=True) if setting.stock_relu6 else InplaceReLU6()

    def run(self) -> None:
        """Run one step and wait for it."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.setting.autocast):
            prediction = self.model(self.batch, self.visible)
        self.loss(prediction, self.batch, self.visible).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)
        if self.device.type == "cuda":
            torch.cuda.synchronize()


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
    memory = {}
    with large_blocks_returned_at_once():  # first, while the heap holds no freed memory
        for setting in SETTINGS:
            step.switch(setting)
            step.run()
            memory[setting] = peak_memory(step)
    seconds: dict[Setting, list[float]] = {setting: [] for setting in SETTINGS}
    for repeat in range(repeats + 1):
        for setting in SETTINGS:
            step.switch(setting)
            start = time.perf_counter()
            step.run()
            if repeat > 0:  # the first round warms up
                seconds[setting].append(time.perf_counter() - start)
    return {setting: (seconds[setting], memory[setting]) for setting in SETTINGS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--encoder", default="resnet50")
    parser.add_argument("--width", type=int, default=768, help="width of the decoder")
    parser.add_argument("--size", type=int, default=224, help="pixels along one axis")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    print(
        f"torch {torch.__version__}, {args.device}, {torch.get_num_threads()} threads, {args.encoder}, {args.size} px"
    )
    print("\n| batch | setting | seconds | speed | pairwise, min - max | peak MiB above idle | memory |")
    print("|---|---|---|---|---|---|---|")
    for batch in args.batch:
        results = measure(Step(args, batch), args.repeats)
        baseline_seconds, baseline_memory = results[SETTINGS[0]]
        for setting, (seconds, memory) in results.items():
            pairs = [b / s for b, s in zip(baseline_seconds, seconds, strict=True)]
            print(
                f"| {batch} | {setting.name} | {statistics.median(seconds):.2f} | {statistics.median(pairs):.2f} x | "
                f"{min(pairs):.2f} - {max(pairs):.2f} | {memory:.0f} | {memory / baseline_memory:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
