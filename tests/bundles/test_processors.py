"""What holds on every processor: no bundle trains a narrow network channels last, and each has its own precision."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from helpers.bundle_files import PRETRAINING, STANDALONE, config_files, merged_config
from monai_ext.parallel import memory_format
from monai_ext.parallel.memory_format import NARROWEST_CHANNELS_LAST, arrange_memory, memory_format_of
from monai_ext.parallel.processor import Processor

bundles = pytest.mark.parametrize("bundle", [*PRETRAINING, *STANDALONE], ids=lambda path: path.name)


@pytest.fixture(scope="module")
def networks() -> dict[tuple[str, str], nn.Module]:
    """Networks by bundle and config; built once, without values."""
    return {}


def network_of(bundle, config: str, networks: dict) -> nn.Module:
    key = (bundle.name, config)
    if key not in networks:
        parser = ConfigParser()
        parser.read_config(config_files(bundle, config))
        with torch.device("meta"):
            networks[key] = parser.get_parsed_content("network_def")
    return networks[key]


@pytest.mark.parametrize("avx512", [True, False], ids=["AVX-512", "AVX2"])
@pytest.mark.parametrize("config", ["train", "smoke"])
@bundles
def test_nothing_narrow_is_trained_channels_last(bundle, config, avx512, networks, monkeypatch):
    here = Processor("some", has_avx512=avx512, has_bf16=avx512)
    monkeypatch.setattr(memory_format, "processor", lambda: here)
    network = network_of(bundle, config, networks)
    arrange_memory(network, device="cpu")
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and memory_format_of(module) == torch.channels_last:
            assert module.in_channels >= NARROWEST_CHANNELS_LAST or max(module.kernel_size) > 1, name


@bundles
def test_training_chooses_the_precision_and_evaluation_does_not_depend_on_the_processor(bundle):
    assert merged_config(bundle, "train")["precision"] == "auto"
    assert merged_config(bundle, "evaluate")["precision"] == "fp32"
