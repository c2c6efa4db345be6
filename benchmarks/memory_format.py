"""Channels last against PyTorch's default memory format, for each part of a pre-training network.

Forward and backward pass of ResNet-50 (as the contrastive methods run it, and on SparK's visible blocks), of SparK's
projections and of its decoder of width 768; images of 224 px and one channel. Both formats take turns in one process
on the same weights; a ratio above 1 means that channels last is faster. On a CPU, processor time of one thread, once
with each set of instructions that the processor can be limited to; in bf16 where it is not emulated.

    python benchmarks/memory_format.py --batch 4 --repeats 5
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from instruction_sets import is_child, run_limited
from torch import Tensor, nn

from monai_ext.networks import SparK, SparKDecoder, build_encoder
from monai_ext.parallel.devices import Precision
from monai_ext.parallel.processor import processor

FORMATS = (torch.contiguous_format, torch.channels_last)


class Parts:
    """A SparK network whose parts can be run alone."""

    def __init__(self, batch: int, precision: Precision) -> None:
        torch.manual_seed(0)
        device = precision.device
        self.precision = precision
        self.model = SparK(build_encoder("resnet50"), SparKDecoder(768)).to(device)
        self.image = torch.rand(batch, 1, 224, 224, device=device)
        self.visible = self.model.draw_visible(self.image)
        with torch.no_grad():
            maps = self.model.encode(self.image, self.visible)[::-1]
            self.dense = [
                features.to_dense(token) for features, token in zip(maps, self.model.mask_tokens, strict=True)
            ]
            self.projected = [project(x) for project, x in zip(self.model.densify_projections, self.dense, strict=True)]

    def named(self) -> Iterator[tuple[str, nn.Module, Callable[[torch.memory_format], Tensor]]]:
        """Each part with what runs it forward in a format."""
        model = self.model
        yield (
            "ResNet-50, whole images",
            model.encoder,
            lambda order: model.encoder(self._inputs([self.image], order)[0]),
        )
        yield "ResNet-50, SparK's visible blocks", model.encoder, self._encode
        yield "SparK's projections", model.densify_projections, self._project
        yield "SparK's decoder", model.decoder, lambda order: model.decoder(self._inputs(self.projected, order))

    def seconds(self, part: nn.Module, forward: Callable[..., Tensor], order: torch.memory_format) -> float:
        """Processor seconds of forward and backward on a CPU, else seconds."""
        part.to(memory_format=order)  # type: ignore[call-overload]
        start = self._now()
        with self.precision.autocast():
            output = forward(order)
        output.float().square().mean().backward()
        return self._now() - start

    def _encode(self, order: torch.memory_format) -> Tensor:
        maps = self.model.encode(self._inputs([self.image], order)[0], self.visible)
        return torch.stack([features.values.float().sum() for features in maps])  # type: ignore[attr-defined]

    def _project(self, order: torch.memory_format) -> Tensor:
        inputs = self._inputs(self.dense, order)
        projections = zip(self.model.densify_projections, inputs, strict=True)
        return torch.stack([project(x).float().square().sum() for project, x in projections])

    def _inputs(self, tensors: list[Tensor], order: torch.memory_format) -> list[Tensor]:
        """Copies in a format; of maps with gradients, since the parts before them want those."""
        return [x.contiguous(memory_format=order).requires_grad_(x.shape[1] > 1) for x in tensors]

    def _now(self) -> float:
        if self.precision.device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


def measure(parts: Parts, repeats: int) -> None:
    """Print a row a part."""
    device = parts.precision.device
    where = processor().name if device.type == "cpu" else torch.cuda.get_device_name(device)
    for name, part, forward in parts.named():
        times: dict[torch.memory_format, list[float]] = {order: [] for order in FORMATS}
        for repeat in range(repeats + 1):
            for order in FORMATS:
                taken = parts.seconds(part, forward, order)
                if repeat > 0:  # the first round warms up
                    times[order].append(taken)
        default, last = (times[order] for order in FORMATS)
        ratios = [a / b for a, b in zip(default, last, strict=True)]
        spread = f"{min(ratios):.2f} - {max(ratios):.2f}"
        print(
            f"| {where} | {parts.precision.name} | {name} | {statistics.median(default):.2f} | "
            f"{statistics.median(last):.2f} | {statistics.median(ratios):.2f} x | {spread} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    device = torch.device(args.device)
    if device.type == "cpu" and not is_child():
        print(f"torch {torch.__version__}, {args.device}, batch {args.batch}\n")
        print("| instructions | precision | part | s default | s channels last | ratio | min - max |")
        print("|---|---|---|---|---|---|---|", flush=True)
        run_limited()
        return
    if device.type == "cpu":
        torch.set_num_threads(1)
    for precision in ("fp32", "bf16") if Precision("auto", device=device).name == "bf16" else ("fp32",):
        measure(Parts(args.batch, Precision(precision, device=device)), args.repeats)


if __name__ == "__main__":
    main()
