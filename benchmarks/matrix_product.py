"""Why small blocks are multiplied as they are: convolution of blocks, matrix product, product as a 1 x 1 convolution.

For the 3 x 3 convolutions of ResNet-50 on the 160 visible blocks of 8 images of 224 px, three executions of forward
plus backward of the same numbers take turns in one process; the table gives the fastest of each. bf16 is left out where
the processor would emulate it.

    python benchmarks/matrix_product.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_ext.parallel.processor import processor

BLOCKS = 160
LAYERS = [(64, 8), (128, 4), (256, 2), (512, 1)]


def executions(channels: int, side: int, dtype: torch.dtype) -> dict[str, Callable[[], None]]:
    """The three ways, each running forward and backward once."""
    padded = torch.randn(BLOCKS, side + 2, side + 2, channels, dtype=dtype).movedim(-1, 1)
    taps = torch.randn(BLOCKS * side**2, 9 * channels, dtype=dtype)
    image = taps.view(1, -1, 1, 9 * channels).movedim(-1, 1)
    kernel = torch.randn(channels, channels, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    matrix = torch.randn(channels, 9 * channels, dtype=dtype)

    def run(function: Callable[..., Tensor], inputs: Tensor, weight: Tensor) -> Callable[[], None]:
        inputs, weight = inputs.requires_grad_(), weight.detach().requires_grad_()

        def step() -> None:
            output = function(inputs, weight)
            torch.autograd.grad(output, (inputs, weight), output.detach())

        return step

    return {
        "convolution of blocks": run(F.conv2d, padded, kernel),
        "matrix product": run(F.linear, taps, matrix),
        "product as 1 x 1 convolution": run(F.conv2d, image, matrix[:, :, None, None]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    here = processor()
    print(f"{here.name}\n")
    print("| channels | block side | type | execution | ms | speed |\n|---|---|---|---|---|---|")
    for channels, side in LAYERS:
        for dtype in (torch.float32, torch.bfloat16) if here.has_bf16 else (torch.float32,):
            steps = executions(channels, side, dtype)
            best = dict.fromkeys(steps, float("inf"))
            for _ in range(args.repeats):
                for name, step in steps.items():
                    start = time.perf_counter()
                    step()
                    best[name] = min(best[name], time.perf_counter() - start)
            first = best["convolution of blocks"]
            for name, seconds in best.items():
                kind = str(dtype).removeprefix("torch.")
                print(f"| {channels} | {side} | {kind} | {name} | {seconds * 1e3:.1f} | {first / seconds:.2f} x |")


if __name__ == "__main__":
    main()
