"""Each part of a network has the memory format that is fast and safe where it computes."""

from __future__ import annotations

import logging

import pytest
import torch
from monai.networks import nets
from torch import nn

from monai_ext.parallel import memory_format as module
from monai_ext.parallel.memory_format import arrange_memory, describe_memory, memory_format_of
from monai_ext.parallel.processor import Processor

LAST, DEFAULT = torch.channels_last, torch.contiguous_format


class EncoderAndDecoder(nn.Module):
    """The least network with a dense part."""

    dense_parts = ("decoder",)

    def __init__(self, encoder_width: int = 8, decoder_width: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, encoder_width, 3), nn.Conv2d(encoder_width, decoder_width, 3))
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(decoder_width, decoder_width, 2), nn.Conv2d(decoder_width, 1, 3)
        )


def on(monkeypatch, *, avx512: bool) -> None:
    here = Processor("AVX-512" if avx512 else "AVX2", has_avx512=avx512, has_bf16=False)
    monkeypatch.setattr(module, "processor", lambda: here)


@pytest.mark.parametrize(("avx512", "decoder"), [(True, LAST), (False, DEFAULT)])
def test_a_dense_part_is_channels_last_where_that_is_the_faster_one(monkeypatch, avx512, decoder):
    on(monkeypatch, avx512=avx512)
    network = EncoderAndDecoder()
    assert arrange_memory(network, device="cpu") == {"": LAST, "decoder": decoder}
    assert memory_format_of(network, besides=("decoder",)) == LAST
    assert memory_format_of(network.decoder) == decoder
    assert all(
        weight.is_contiguous(memory_format=decoder) for weight in network.decoder.parameters() if weight.ndim == 4
    )


def test_on_a_gpu_all_parts_are_channels_last(monkeypatch):
    on(monkeypatch, avx512=False)
    assert arrange_memory(EncoderAndDecoder(encoder_width=2), device="cuda") == {"": LAST, "decoder": LAST}


@pytest.mark.parametrize("avx512", [True, False])
@pytest.mark.parametrize("channels_last", [True, "auto"])
def test_a_part_with_fewer_than_8_channels_keeps_the_default_format_on_a_cpu(monkeypatch, avx512, channels_last):
    on(monkeypatch, avx512=avx512)
    narrow_decoder = arrange_memory(EncoderAndDecoder(decoder_width=4), device="cpu", channels_last=channels_last)
    assert narrow_decoder == {"": LAST, "decoder": DEFAULT}
    narrow_encoder = arrange_memory(EncoderAndDecoder(encoder_width=7), device="cpu", channels_last=channels_last)
    assert narrow_encoder[""] == DEFAULT


def test_who_asks_for_channels_last_is_told_of_the_part_that_does_not_get_it(caplog):
    with caplog.at_level(logging.WARNING):
        arrange_memory(EncoderAndDecoder(decoder_width=4), device="cpu", channels_last=True)
    assert "The decoder has fewer than 8 channels" in caplog.text


@pytest.mark.parametrize("image_channels", [1, 3, 4])
def test_stems_may_read_few_channels_teachers_too(image_channels):
    options = {"spatial_dims": 2, "n_input_channels": image_channels, "conv1_t_stride": 2, "bias_downsample": False}
    student, teacher = nets.resnet18(**options), nets.resnet18(**options)
    assert arrange_memory(nn.ModuleList([student, teacher]), device="cpu") == {"": LAST}


def test_a_strided_1_x_1_convolution_of_the_image_is_no_stem():
    network = nn.Sequential(nn.Conv2d(4, 8, 1, stride=2), nn.Conv2d(8, 8, 3))
    assert arrange_memory(network, device="cpu") == {"": DEFAULT}


def test_a_volume_has_the_channels_last_format_of_volumes():
    network = nn.Sequential(nn.Conv3d(1, 8, 3), nn.Conv3d(8, 8, 3))
    assert arrange_memory(network, device="cpu") == {"": torch.channels_last_3d}
    assert memory_format_of(network) == torch.channels_last_3d


def test_false_leaves_all_parts_in_the_default_format_and_undoes_another():
    network = EncoderAndDecoder().to(memory_format=LAST)
    assert arrange_memory(network, device="cpu", channels_last=False) == {"": DEFAULT, "decoder": DEFAULT}
    assert memory_format_of(network) == DEFAULT


def test_kernels_of_one_pixel_have_a_format_too():
    layer = nn.Conv2d(4, 8, 1)
    assert memory_format_of(layer) == DEFAULT
    assert memory_format_of(layer.to(memory_format=LAST)) == LAST
    assert memory_format_of(layer.to(memory_format=DEFAULT)) == DEFAULT


def test_weights_keep_their_values():
    network = EncoderAndDecoder()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    arrange_memory(network, device="cpu")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_formats_are_told_in_words():
    assert describe_memory({"": LAST}) == "channels last"
    assert describe_memory({"": LAST, "decoder": LAST}) == "channels last"
    assert describe_memory({"": DEFAULT, "decoder": DEFAULT}) == "default format"
    assert describe_memory({"": DEFAULT, "decoder": LAST}) == "default format, decoder channels last"


def test_another_word_is_refused():
    with pytest.raises(ValueError, match=r'True, False or "auto", which chooses by part; received .yes.'):
        arrange_memory(nn.Conv2d(1, 1, 1), device="cpu", channels_last="yes")
