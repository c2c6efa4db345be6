"""Run a benchmark with all instructions of the processor, and with fewer, as older processors have."""

from __future__ import annotations

import os
import subprocess
import sys

from monai_ext.parallel.processor import processor

LIMITS = {"ALL": {}, "AVX512_CORE": {}, "AVX2": {"ATEN_CPU_CAPABILITY": "avx2"}}
"""Values of ``ONEDNN_MAX_CPU_ISA``, with what makes PyTorch's own kernels follow."""
_CHILD = "MONAI_EXT_BENCHMARK_CHILD"


def limits() -> list[str]:
    """The limits that differ on this processor."""
    here = processor()
    kinds = {"AVX512_CORE": here.has_avx512 and here.has_bf16, "AVX2": here.has_avx512}
    return [name for name in LIMITS if kinds.get(name, True)]


def is_child() -> bool:
    """Whether this process is one that :func:`run_limited` started."""
    return _CHILD in os.environ


def run_limited() -> None:
    """Run this script again for each limit, in a process of its own, since oneDNN reads the limit when it is loaded."""
    for limit in limits():
        environment = os.environ | {"ONEDNN_MAX_CPU_ISA": limit, _CHILD: limit} | LIMITS[limit]
        subprocess.run([sys.executable, *sys.argv], env=environment, check=True)
