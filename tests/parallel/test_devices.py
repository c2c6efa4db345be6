"""Where to compute, and how precisely."""

from __future__ import annotations

import pytest
import torch

from monai_ext.engines import Precision, select_device


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
    with pytest.raises(ValueError, match="one of fp32, bf16, fp16; received 'fp8'"):
        Precision("fp8", device=torch.device("cpu"))
