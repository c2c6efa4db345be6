"""load_spark_checkpoint: the authors' layout gives the same reconstruction; anything else is refused with its keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import ResNet
from torch import nn

from monai_ext.errors import WeightsError
from monai_ext.networks import SparK, SparKDecoder, build_encoder
from monai_ext.networks.weights import load_encoder, load_spark_checkpoint


class AuthorsLevel(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up_sample = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU6(),
            nn.Conv2d(width, width // 2, 3, padding=1, bias=False), nn.BatchNorm2d(width // 2),
        )  # fmt: skip


class AuthorsSparK(nn.Module):
    """The modules of SparK under the names of its authors, with their shapes; only the names and shapes matter here."""

    def __init__(self, encoder: ResNet, widths: list[int], decoder_width: int = 64) -> None:
        super().__init__()
        self.sparse_encoder = nn.ModuleDict({"sp_cnn": encoder})
        levels = [decoder_width // 2**level for level in range(6)]
        self.dense_decoder = nn.ModuleDict(
            {"dec": nn.ModuleList(AuthorsLevel(width) for width in levels[:-1]), "proj": nn.Conv2d(levels[-1], 3, 1)}
        )
        self.densify_norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        self.densify_projs = nn.ModuleList(
            nn.Identity() if i == 0 and width == levels[0] else nn.Conv2d(width, levels[i], 1 if i == 0 else 3)
            for i, width in enumerate(widths)
        )
        self.mask_tokens = nn.ParameterList(torch.zeros(1, width, 1, 1) for width in widths)
        for name, shape in {"imn_m": (1, 3, 1, 1), "imn_s": (1, 3, 1, 1), "norm_black": (1, 3, 64, 64)}.items():
            self.register_buffer(name, torch.zeros(shape))


def make_encoder(seed: int = 0) -> ResNet:
    torch.manual_seed(seed)
    return ResNet(
        "basic", [1, 1, 1, 1], [8, 16, 32, 64], 2, 3, conv1_t_stride=2, feed_forward=False, bias_downsample=False
    )


def make_model(decoder_width: int = 64, channels: int = 3, seed: int = 1) -> SparK:
    return SparK(make_encoder(seed), SparKDecoder(decoder_width, out_channels=channels)).double()


def make_checkpoint(decoder_width: int = 64) -> dict[str, Any]:
    """A published checkpoint in which every value is another."""
    model = AuthorsSparK(make_encoder(), [64, 32, 16, 8], decoder_width)
    generator = torch.Generator().manual_seed(4)
    state = {key: torch.rand(value.shape, generator=generator).double() for key, value in model.state_dict().items()}
    return {
        "module": {**state, "config": {"mask_ratio": 0.6, "sbn": True}},
        "epoch": 1599,
        "args": "...",
        "optimizer": {},
    }


@pytest.mark.parametrize("decoder_width", [64, 96])
def test_every_value_of_the_file_arrives_at_its_place(tmp_path: Path, decoder_width: int) -> None:
    checkpoint, model = make_checkpoint(decoder_width), make_model(decoder_width)
    torch.save(checkpoint, tmp_path / "published.pth")

    report = load_spark_checkpoint(model, tmp_path / "published.pth")

    theirs = checkpoint["module"]
    level = model.decoder.levels[2]
    for key, ours in {
        "sparse_encoder.sp_cnn.layer2.0.bn1.running_var": model.encoder.layer2[0].bn1.running_var,
        "dense_decoder.dec.2.up_sample.bias": level.upsample.bias,
        "dense_decoder.dec.2.conv.0.weight": level.convolutions[0].weight,
        "dense_decoder.dec.2.conv.1.running_mean": level.convolutions[1].running_mean,
        "dense_decoder.dec.2.conv.3.weight": level.convolutions[3].weight,
        "dense_decoder.dec.2.conv.4.bias": level.convolutions[4].bias,
        "dense_decoder.proj.weight": model.decoder.projection.weight,
        "densify_norms.1.weight": model.densify_norms[1].weight,
        "densify_projs.3.bias": model.densify_projections[3].bias,
        "mask_tokens.0": model.mask_tokens[0],
    }.items():
        assert torch.equal(ours, theirs[key].to(ours.dtype)), key
    assert isinstance(model.densify_projections[0], nn.Identity) == (decoder_width == 64)
    assert set(report.loaded) == set(model.state_dict())
    assert report.dropped == ("imn_m", "imn_s", "norm_black")
    assert report.config["mask_ratio"] == 0.6


@pytest.mark.filterwarnings("ignore:.*meta parameter:UserWarning")
def test_the_names_are_one_to_one_for_the_published_resnet50() -> None:
    with torch.device("meta"):
        encoder = build_encoder("resnet50", in_channels=3)
        theirs = AuthorsSparK(encoder, [2048, 1024, 512, 256], 768).state_dict()
        decoder = SparKDecoder(768, out_channels=3)
    model = SparK(encoder, decoder)
    weights = {key: torch.zeros(()).expand(value.shape) for key, value in theirs.items()}
    report = load_spark_checkpoint(model, weights)
    assert sorted(report.loaded) == sorted(model.state_dict())


def test_the_loaded_model_reconstructs_as_one_with_those_values() -> None:
    first, second = make_model(seed=1), make_model(seed=2)
    load_spark_checkpoint(first, make_checkpoint())
    load_spark_checkpoint(second, make_checkpoint()["module"])
    image = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    visible = first.draw_visible(image)
    assert torch.equal(first.eval()(image, visible), second.eval()(image, visible))


def test_the_encoder_alone_is_read_by_load_encoder() -> None:
    checkpoint, encoder = make_checkpoint(), make_encoder(seed=3)
    report = load_encoder(encoder, checkpoint)
    assert report.layout == "SparK pre-training by its authors"
    assert torch.equal(encoder.conv1.weight, checkpoint["module"]["sparse_encoder.sp_cnn.conv1.weight"].float())


def refused(model: SparK, content: dict[str, Any], match: str) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=match):
        load_spark_checkpoint(model, content)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("key", ["densify_norms.2.running_mean", "mask_tokens.3", "dense_decoder.dec.4.conv.4.weight"])
def test_a_missing_entry_is_refused_by_name(key: str) -> None:
    checkpoint = make_checkpoint()
    del checkpoint["module"][key]
    tail = re.escape(key.rsplit(".conv.")[-1].removeprefix("dense_decoder."))
    refused(make_model(), checkpoint, rf"missing in the file: [\w.]*{tail}\.")


def test_an_unknown_entry_is_refused_by_name() -> None:
    checkpoint = make_checkpoint()
    checkpoint["module"]["sparse_encoder.sp_cnn.stages.0.weight"] = torch.zeros(1)
    checkpoint["module"]["dense_decoder.extra"] = torch.zeros(1)
    refused(make_model(), checkpoint, r"not in the network: dense_decoder\.extra, encoder\.stages\.0\.weight")


def test_another_decoder_width_is_refused_with_both_shapes() -> None:
    refused(make_model(128), make_checkpoint(64), r"upsample\.weight \(64, 64, 4, 4\) instead of \(128, 128, 4, 4\)")


def test_a_one_channel_model_is_refused() -> None:
    encoder = ResNet(
        "basic", [1] * 4, [8, 16, 32, 64], 2, 1, conv1_t_stride=2, feed_forward=False, bias_downsample=False
    )
    model = SparK(encoder, SparKDecoder(64))
    refused(
        model, make_checkpoint(), r"encoder\.conv1\.weight \(8, 3, 7, 7\) instead of \(8, 1, 7, 7\).*channels \(3 in"
    )


@pytest.mark.parametrize(
    "content", [{"state_dict": {"conv1.weight": torch.zeros(1)}}, {"conv1.weight": torch.zeros(1)}]
)
def test_another_file_is_refused_with_what_it_holds(content: dict[str, Any]) -> None:
    refused(make_model(), content, r"not a SparK pre-training checkpoint.*It holds (state_dict|conv1\.weight)")


def test_values_that_are_not_finite_are_refused() -> None:
    checkpoint = make_checkpoint()
    checkpoint["module"]["mask_tokens.1"][0, 0] = float("inf")
    refused(make_model(), checkpoint, r"not finite in mask_tokens\.1")
