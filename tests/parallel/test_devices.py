"""Where to compute, and how precisely."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import pytest
import torch

from monai_ext.engines import Precision, select_device
from monai_ext.parallel import devices
from monai_ext.parallel.processor import Processor


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine with two GPUs, as far as PyTorch is asked about it; gives the indices that were made current."""
    current: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    return current


def test_without_cuda_the_cpu_is_chosen(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert select_device() == torch.device("cpu")


def test_each_process_of_a_machine_gets_its_own_gpu(monkeypatch, two_gpus):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert select_device() == torch.device("cuda", 1)
    assert two_gpus == [1]


def test_a_device_that_is_named_is_taken(monkeypatch, two_gpus):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert select_device("cpu") == torch.device("cpu")
    assert select_device("cuda:0") == torch.device("cuda", 0)


def test_more_processes_than_gpus_are_refused(monkeypatch, two_gpus):
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match=r"GPU 2 .* this machine has 2: start at most that many processes"):
        select_device()


@pytest.mark.parametrize(
    ("name", "dtype", "scales"),
    [("fp32", torch.float32, False), ("bf16", torch.bfloat16, False), ("fp16", torch.float16, True)],
)
def test_the_forward_pass_runs_in_the_precision_and_only_fp16_scales_gradients(name, dtype, scales):
    precision = Precision(name, device=torch.device("cpu"))
    with precision.autocast():
        assert torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype == dtype
    assert precision.scaler.is_enabled() == scales


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="one of fp32, bf16, fp16, auto; received 'fp8'"):
        Precision("fp8", device=torch.device("cpu"))


def on(monkeypatch, *, bf16: bool) -> torch.device:
    """The CPU, with instructions for bf16 or without."""
    here = Processor("AVX-512 with bf16" if bf16 else "AVX2", has_avx512=bf16, has_bf16=bf16)
    monkeypatch.setattr(devices, "processor", lambda: here)
    return torch.device("cpu")


@pytest.mark.parametrize(("bf16", "name"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_the_processor_computes_it_and_is_told_once(monkeypatch, caplog, bf16, name):
    precision = Precision("auto", device=on(monkeypatch, bf16=bf16))
    with caplog.at_level(logging.INFO), precision.autocast(), precision.autocast():
        assert torch.is_autocast_enabled("cpu") == bf16
    assert precision.name == name
    assert [record.message.split(":")[0] for record in caplog.records] == [f"Precision auto is {name} here"]


@pytest.mark.parametrize(("bf16", "name"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_gpu_is_bf16_where_the_gpu_computes_it_itself(monkeypatch, two_gpus, bf16, name):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or bf16)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    assert Precision("auto", device=torch.device("cuda", 0)).name == name


def test_auto_on_any_other_device_is_fp32():
    assert Precision("auto", device=torch.device("meta")).name == "fp32"


def test_bf16_that_has_to_be_emulated_warns_with_the_factor(monkeypatch, caplog):
    precision = Precision("bf16", device=on(monkeypatch, bf16=False))
    assert precision.name == "bf16"
    assert "the processor (AVX2) has no instructions for bf16" in caplog.text
    assert "takes about 8 to 11 times as long as fp32. Use fp32, or auto" in caplog.text


@pytest.mark.parametrize("name", ["bf16", "fp32", "fp16"])
def test_nothing_else_warns(monkeypatch, caplog, name):
    assert Precision(name, device=on(monkeypatch, bf16=True)).name == name
    assert Precision("fp32", device=on(monkeypatch, bf16=False)).name == "fp32"
    assert not caplog.records


@pytest.mark.parametrize("kept", ["fp32", "fp16"])
def test_auto_keeps_what_is_continued(monkeypatch, kept):
    precision = Precision("auto", device=on(monkeypatch, bf16=True))
    assert not precision.scaler.is_enabled()
    precision.keep(kept)
    assert (precision.name, precision.scaler.is_enabled()) == (kept, kept == "fp16")


@pytest.mark.parametrize("name", ["fp8", None, "auto"])
def test_what_nobody_computed_in_is_not_kept(monkeypatch, name):
    precision = Precision("auto", device=on(monkeypatch, bf16=True))
    precision.keep(name)
    assert precision.name == "bf16"


def test_a_precision_that_was_named_is_not_changed():
    precision = Precision("fp32", device=torch.device("cpu"))
    precision.keep("bf16")
    assert precision.name == "fp32"


def test_what_speaks_against_bf16_on_a_cpu_turns_auto_to_fp32_also_after_it_was_chosen_and_is_no_matter_elsewhere(
    monkeypatch,
):
    precision = Precision("auto", device=on(monkeypatch, bf16=True))
    assert precision.name == "bf16"
    precision.heed("it computes wrong gradients")
    assert precision.name == "fp32"
    precision.keep("bf16")
    assert precision.name == "fp32"
    Precision("bf16", device=torch.device("meta"), fault_on_cpu="it computes wrong gradients")
    with pytest.raises(ValueError, match=r"bf16 was asked for, but it computes wrong gradients\. Use fp32"):
        Precision("bf16", device=torch.device("cpu"), fault_on_cpu="it computes wrong gradients")
