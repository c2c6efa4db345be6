"""Time and peak memory of SparK's encoder by backend, over the masked fraction, in 2D and 3D.

Forward and backward pass of the encoder on the visible patches, up to the four dense maps that the decoder takes:
single precision, channels-last memory, as in training. Backends take turns in one process on the same model and masks,
so that ratios hold on a noisy machine; times are medians of single passes, by the clock and, on CPUs, summed over the
threads that computed, which hardly depends on what else the machine does. Memory is the peak above the idle model
with its gradients. "minkowski" is left out where MinkowskiEngine is missing.

    python benchmarks/sparse_backends.py --picture docs/results/sparse_backends.png
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from resident_memory import MIB, large_blocks_returned_at_once

from monai_ext.networks import SparK, SparKDecoder, build_encoder
from monai_ext.parallel.processor import processor

BACKENDS = {"masked_dense": "masked dense", "active_blocks": "active blocks", "minkowski": "MinkowskiEngine"}
COLOURS = {"masked_dense": "#7f7f7f", "active_blocks": "#1f77b4", "minkowski": "#d62728"}


@dataclass(frozen=True)
class Case:
    """An encoder and the images that it is given."""

    encoder: str
    size: tuple[int, ...]
    batch: int

    @property
    def title(self) -> str:
        """As it stands over the tables and plots."""
        return f"{len(self.size)}D, {self.encoder}, {' x '.join(map(str, self.size))}, batch {self.batch}"


@dataclass(frozen=True)
class Result:
    """Seconds of every repeat by the clock and of computing, and peak MiB above the idle model."""

    seconds: list[float]
    computing: list[float]
    memory: float


class Pass:
    """Forward and backward pass of one encoder; backend and mask can be changed in between."""

    def __init__(self, case: Case, device: str) -> None:
        torch.manual_seed(0)
        dims = len(case.size)
        memory_format = torch.channels_last if dims == 2 else torch.channels_last_3d
        model = SparK(build_encoder(case.encoder, spatial_dims=dims), SparKDecoder(32, spatial_dims=dims))
        self.model = model.to(device, memory_format=memory_format)  # type: ignore[call-overload]
        image = torch.rand(case.batch, 1, *case.size, device=device)
        self.image = image.contiguous(memory_format=memory_format)

    def switch(self, backend: str, masked_fraction: float) -> None:
        """Make the following passes run by ``backend``, on the same mask for all backends."""
        self.model.backend, self.model.masked_fraction = backend, masked_fraction
        self.visible = self.model.draw_visible(self.image, torch.Generator().manual_seed(0))

    def run(self) -> None:
        """Run once and wait for it."""
        maps = self.model.encode(self.image, self.visible)
        torch.stack([features.to_dense().square().mean() for features in maps]).sum().backward()
        self.model.zero_grad(set_to_none=False)
        if self.image.is_cuda:
            torch.cuda.synchronize()


def peak_memory(step: Pass) -> float:
    """Peak MiB of a pass above the idle model."""
    gc.collect()
    if step.image.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        idle = torch.cuda.memory_allocated()
        step.run()
        return (torch.cuda.max_memory_allocated() - idle) / MIB
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    idle = resident("VmRSS")
    step.run()
    return resident("VmHWM") - idle


def resident(field: str) -> float:
    """A line of the kernel's account of this process, MiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def measure(case: Case, backends: list[str], args: argparse.Namespace) -> dict[tuple[str, float], Result]:
    """Every backend at every masked fraction."""
    step, results = Pass(case, args.device), {}
    with large_blocks_returned_at_once():  # first, while the heap holds no freed memory
        for backend in backends:  # what libraries allocate once and keep is not counted
            step.switch(backend, max(args.fractions))
            step.run()
        for fraction in args.fractions:
            for backend in backends:
                step.switch(backend, fraction)
                results[backend, fraction] = Result([], [], peak_memory(step))
    for _ in range(args.repeats):
        for setting, result in results.items():
            step.switch(*setting)
            start, computed = time.perf_counter(), time.process_time()
            step.run()
            result.seconds.append(time.perf_counter() - start)
            result.computing.append(time.process_time() - computed)
    return results


def print_table(case: Case, results: dict[tuple[str, float], Result]) -> None:
    print(f"\n{case.title}\n")
    print("| masked | backend | seconds | speed | min - max | computing, s | speed | peak MiB | memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (backend, fraction), result in results.items():
        reference = results["masked_dense", fraction]
        speeds, computing = ratios(reference.seconds, result.seconds), ratios(reference.computing, result.computing)
        print(
            f"| {fraction:.0%} | {BACKENDS[backend]} | {statistics.median(result.seconds):.2f} | "
            f"{statistics.median(speeds):.2f} x | {min(speeds):.2f} - {max(speeds):.2f} | "
            f"{statistics.median(result.computing):.2f} | {statistics.median(computing):.2f} x | "
            f"{result.memory:.0f} | {result.memory / reference.memory:.0%} |",
            flush=True,
        )


def ratios(reference: list[float], measured: list[float]) -> list[float]:
    """Reference by measured, of passes that ran one after the other."""
    return [a / b for a, b in zip(reference, measured, strict=True)]


def draw(results: dict[Case, dict[tuple[str, float], Result]], path: Path, subtitle: str) -> None:
    """Time and memory over the masked fraction, one row of plots a case."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.9 * len(results)), layout="constrained")
    figure.suptitle(f"SparK's encoder, forward + backward\n{subtitle}", fontsize=11)
    axes = figure.subplots(len(results), 2, squeeze=False)
    for row, (case, measured) in zip(axes, results.items(), strict=True):
        for backend in dict.fromkeys(backend for backend, _ in measured):
            fractions = [fraction for b, fraction in measured if b == backend]
            chosen = [measured[backend, fraction] for fraction in fractions]
            style = {"marker": "o", "color": COLOURS[backend], "label": BACKENDS[backend]}
            percent = [100 * fraction for fraction in fractions]
            row[0].plot(percent, [statistics.median(result.seconds) for result in chosen], **style)
            row[1].plot(percent, [result.memory for result in chosen], **style)
        for axis, label in zip(row, ("seconds (median)", "peak memory above the idle model, MiB"), strict=True):
            axis.set(title=case.title, xlabel="masked patches, %", ylabel=label, ylim=(0, None))
            axis.grid(alpha=0.3)
        row[0].legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.3, 0.45, 0.6, 0.75, 0.9])
    parser.add_argument("--dims", type=int, nargs="+", choices=[2, 3], default=[2, 3])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, nargs=2, default=[8, 2], metavar=("2D", "3D"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--picture", type=Path, help="where to draw the plots (PNG)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cases = [Case("resnet50", (224, 224), args.batch[0]), Case("resnet18", (96, 96, 96), args.batch[1])]
    cases = [case for case in cases if len(case.size) in args.dims]
    backends = [b for b in BACKENDS if b != "minkowski" or importlib.util.find_spec("MinkowskiEngine")]
    where = processor().name if args.device == "cpu" else args.device
    subtitle = f"torch {torch.__version__}, {where}, {args.threads} threads"
    print(subtitle)
    results = {}
    for case in cases:
        results[case] = measure(case, backends, args)
        print_table(case, results[case])
    if args.picture:
        draw(results, args.picture, subtitle)


if __name__ == "__main__":
    main()
