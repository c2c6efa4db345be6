"""What the processor offers, whoever is asked: torch, the kernel, or oneDNN's own limit."""

from __future__ import annotations

import pytest
import torch

from monai_ext.parallel import processor as module
from monai_ext.parallel.processor import processor

AVX2 = {"avx", "avx2", "f16c", "fma3"}
SKYLAKE = AVX2 | {"avx512_f", "avx512_bw", "avx512_dq", "avx512_vl"}
ZEN4 = SKYLAKE | {"avx512_bf16", "avx512_vnni"}


@pytest.fixture(autouse=True)
def _no_limit(monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)


def offer(monkeypatch, instructions: set[str]) -> None:
    """A processor with these instructions, as torch tells them."""
    capabilities = {"architecture": "x86_64", "l2_cache_size": 1 << 20, "avx10_2": False} | dict.fromkeys(
        instructions, True
    )
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


@pytest.mark.parametrize(
    ("instructions", "name", "bf16", "slowdown"),
    [
        (ZEN4, "AVX-512 with bf16", True, None),
        (SKYLAKE | {"amx_bf16", "amx_tile"}, "AVX-512 with bf16", True, None),
        (SKYLAKE, "AVX-512", False, "2 to 3"),
        (AVX2, "AVX2", False, "8 to 11"),
        ({"neon", "sve", "bf16"}, "SVE with bf16", True, None),
        ({"neon"}, "NEON", False, "8 to 11"),
        ({"sse4_1"}, "SSE4_1", False, "8 to 11"),
    ],
)
def test_a_processor_is_known_by_what_torch_says(monkeypatch, instructions, name, bf16, slowdown):
    offer(monkeypatch, instructions)
    assert (processor().name, processor().has_bf16, processor().bf16_slowdown) == (name, bf16, slowdown)


@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
@pytest.mark.parametrize(
    ("limit", "avx512", "bf16"),
    [
        ("AVX2", False, False),
        ("avx2_vnni_2", False, False),
        ("AVX512_CORE", True, False),
        ("AVX512_CORE_BF16", True, True),
        ("ALL", True, True),
        ("nonsense", True, True),  # oneDNN passes over it
    ],
)
def test_the_limit_of_onednn_holds(monkeypatch, variable, limit, avx512, bf16):
    offer(monkeypatch, ZEN4)
    monkeypatch.setenv(variable, limit)
    assert (processor().has_avx512, processor().has_bf16) == (avx512, bf16)
    assert ("limited to" in processor().name) == (not bf16)


def test_without_onednn_bf16_is_emulated(monkeypatch):
    offer(monkeypatch, ZEN4)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert processor().name == "AVX-512"


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512bw avx512dq avx512vl avx512_bf16\n", "AVX-512 with bf16"),
        ("processor\t: 0\nflags\t\t: fpu avx avx2\n", "AVX2"),
        ("processor\t: 0\nFeatures\t: fp asimd sve svebf16 bf16\n", "SVE with bf16"),
        ("processor\t: 0\n", "scalar"),
    ],
)
def test_an_older_torch_is_helped_by_what_linux_says(monkeypatch, tmp_path, cpuinfo, name):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert processor().name == name


@pytest.mark.parametrize(("capability", "name"), [("AVX512", "AVX-512"), ("AVX2", "AVX2"), ("DEFAULT", "scalar")])
def test_elsewhere_the_kernels_of_torch_tell_and_bf16_is_not_relied_on(monkeypatch, tmp_path, capability, name):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "missing")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert (processor().name, processor().has_bf16) == (name, False)
