"""Which instructions the processor has for PyTorch's kernels: they decide on number formats and memory formats."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

__all__ = ["Processor", "processor"]

_CPUINFO = Path("/proc/cpuinfo")
_NAMES_IN_CPUINFO = {
    "avx512f": "avx512_f",
    "avx512bw": "avx512_bw",
    "avx512dq": "avx512_dq",
    "avx512vl": "avx512_vl",
    "svebf16": "sve_bf16",
}
"""Flags of Linux that ``torch.cpu.get_capabilities`` calls otherwise."""

_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Variables by which oneDNN, which computes PyTorch's convolutions, is kept from using newer instructions."""
_WITHOUT_AVX512 = {"sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2"}
_WITHOUT_BF16 = _WITHOUT_AVX512 | {"avx512_core", "avx512_core_vnni"}
"""Values of these variables, in lower case; oneDNN ignores those that it does not know."""

_AVX512 = {"avx512_f", "avx512_bw", "avx512_dq", "avx512_vl"}
_BF16 = {"avx512_bf16", "amx_bf16", "bf16", "sve_bf16"}


@dataclass(frozen=True)
class Processor:
    """What the kernels of PyTorch and oneDNN may use.

    Args:
        name: for people, such as ``"AVX-512 with bf16"``.
        has_avx512: vectors of 512 bits.
        has_bf16: products of bfloat16 numbers are instructions; elsewhere they are emulated in single precision.
    """

    name: str
    has_avx512: bool
    has_bf16: bool

    @property
    def bf16_slowdown(self) -> str | None:
        """How many times as long as fp32 a convolution in bf16 takes, where it is emulated; None where it is not.

        Measured by ``benchmarks/bf16_convolution.py``.
        """
        if self.has_bf16:
            return None
        return "2 to 3" if self.has_avx512 else "8 to 11"


def processor() -> Processor:
    """The processor of this machine, less what ``ONEDNN_MAX_CPU_ISA`` forbids.

    Example:
        >>> processor().has_bf16 <= (processor().bf16_slowdown is None)
        True
    """
    names = _instructions()
    limit = next((os.environ[name].lower() for name in _LIMITS if os.environ.get(name)), "")
    has_avx512 = names >= _AVX512 and limit not in _WITHOUT_AVX512
    has_bf16 = bool(names & _BF16) and limit not in _WITHOUT_BF16 and torch.backends.mkldnn.is_available()
    widest = "AVX-512" if has_avx512 else "AVX2" if "avx2" in names else _architecture(names)
    limited = limit in _WITHOUT_BF16 and names & (_BF16 | _AVX512)
    return Processor(
        name=widest + (" with bf16" if has_bf16 else "") + (f" (limited to {limit.upper()})" if limited else ""),
        has_avx512=has_avx512,
        has_bf16=has_bf16,
    )


def _instructions() -> set[str]:
    """Names of instruction sets, as ``torch.cpu.get_capabilities`` writes them."""
    if hasattr(torch.cpu, "get_capabilities"):  # torch 2.11
        capabilities: Mapping[str, object] = torch.cpu.get_capabilities()
        return {name for name, value in capabilities.items() if value is True}
    if _CPUINFO.is_file():
        return {_NAMES_IN_CPUINFO.get(flag, flag) for flag in _flags(_CPUINFO.read_text(encoding="utf-8"))}
    widest = torch.backends.cpu.get_cpu_capability()
    return (_AVX512 | {"avx2"} if widest == "AVX512" else set()) | {widest.lower()}


def _flags(cpuinfo: str) -> set[str]:
    """The flags of the first processor: ``flags`` on x86, ``Features`` on ARM."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def _architecture(names: set[str]) -> str:
    return next((name.upper() for name in ("sve2", "sve", "neon", "asimd", "avx", "sse4_1") if name in names), "scalar")
