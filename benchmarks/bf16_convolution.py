"""What bf16 costs where the processor has no instructions for it: a convolution and a matrix product, against fp32.

Forward and backward pass in one thread, processor time, the least of some repeats; once with each set of instructions
that this processor can be limited to.

    python benchmarks/bf16_convolution.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from instruction_sets import is_child, run_limited
from torch import Tensor
from torch.nn import functional as F

from monai_ext.parallel.processor import processor


def seconds(function: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, weight: Tensor, dtype: torch.dtype) -> float:
    """Processor seconds of forward and backward."""
    start = time.process_time()
    function(inputs.to(dtype), weight.to(dtype)).float().sum().backward()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    if not is_child():
        print(f"torch {torch.__version__}\n")
        print("| instructions | operation | ms fp32 | ms bf16 | bf16 takes |\n|---|---|---|---|---|", flush=True)
        run_limited()
        return
    torch.set_num_threads(1)
    image = torch.randn(4, 64, 56, 56).contiguous(memory_format=torch.channels_last).requires_grad_()
    kernel = torch.randn(64, 64, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    matrix = torch.randn(1024, 1024, requires_grad=True)
    operations: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Tensor, Tensor]] = {
        "3 x 3 convolution, 64 channels, 56 x 56": (lambda x, w: F.conv2d(x, w, padding=1), image, kernel),
        "matrix product, 1024 x 1024": (torch.matmul, matrix, matrix),
    }
    for name, (function, inputs, weight) in operations.items():
        best = {
            dtype: min(seconds(function, inputs, weight, dtype) for _ in range(repeats))
            for dtype in (torch.float32, torch.bfloat16)
        }
        fp32, bf16 = best[torch.float32], best[torch.bfloat16]
        print(
            f"| {processor().name} | {name} | {fp32 * 1e3:.0f} | {bf16 * 1e3:.0f} | {bf16 / fp32:.1f} x |", flush=True
        )


if __name__ == "__main__":
    main()
